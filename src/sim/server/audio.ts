import { badRequest } from './api-error.ts';
import { header, type Exchange } from './exchange.ts';
import { booleanField, type Fields } from './fields.ts';
import { NO_SCOPE } from '../engine/cache-scope.ts';
import { generate, planAnswer, samplingOf, usageJson, usageOf } from '../engine/generation.ts';
import { parseMultipart } from './multipart.ts';
import { escapeJson } from './output.ts';
import type { SimState } from './sim-state.ts';
import { SPECIAL, textHash } from '../engine/tokens.ts';

/** As if the sound were 16 kHz, 16 bit, mono; and 50 prompt tokens for each second of it, as Whisper has. */
const BYTES_PER_SECOND = 32_000;
const TOKENS_PER_SECOND = 50;
const MOST_PROMPT_TOKENS = 1500;

/** POST /v1/audio/transcriptions and /v1/audio/translations: multipart in; JSON, text or events out. */
export function transcribe(sim: SimState, exchange: Exchange): void {
  const parts = parseMultipart(header(exchange, 'content-type') ?? '', exchange.body);
  if (!parts) throw badRequest('expected a complete multipart/form-data body');
  const sound = parts.find((part) => part.name === 'file')?.data;
  if (!sound) throw badRequest('file: expected a file', 'file');
  const fields: Fields = Object.fromEntries(
    parts.filter((part) => part.filename === undefined).map((part) => [part.name, part.data.toString()]),
  );
  const model = sim.modelOf(fields);
  const seconds = Math.ceil(sound.length / BYTES_PER_SECOND);
  soundTokens(sim, sound, seconds);
  const sampling = samplingOf({}, Math.max(1, 3 * seconds));
  const plan = planAnswer(sim, { sampling, say: undefined, choice: 0, scope: NO_SCOPE, keepIds: false });
  const { reply } = exchange;
  const engine = sim.engineFor(exchange);
  if (!booleanField(fields, 'stream')) {
    const format = fields['response_format'] ?? 'json';
    generate(exchange, engine, [plan], {
      onAllDone: () => {
        const text = plan.output.pieces.join('').trim();
        if (format === 'text') reply.send(200, 'text/plain; charset=utf-8', `${text}\n`);
        else reply.json(transcriptJson(text, seconds, format === 'verbose_json'));
      },
    });
    return;
  }
  const id = JSON.stringify(`trsc-${sim.requestId(exchange, {})}`);
  const head = `data: {"id":${id},"object":"transcription.chunk","created":${sim.unixSeconds()},"model":${JSON.stringify(model)},"choices":[`;
  reply.startEvents();
  generate(exchange, engine, [plan], {
    onTokens: (_index, from, to) => {
      const text = plan.output.pieces.slice(from, to).join('');
      const reason = to === plan.output.ids.length ? '"stop"' : 'null';
      reply.event(`${head}{"delta":{"content":"${text}"},"finish_reason":${reason}}]}\n\n`);
    },
    onAllDone: (sequences) => {
      if (booleanField(fields, 'stream_include_usage')) {
        reply.event(`${head}],"usage":${usageJson(sim, usageOf([plan], sequences))}}\n\n`);
      }
      reply.event('data: [DONE]\n\n');
      reply.end();
    },
  });
}

/** Tokens that differ from sound to sound; the first and last bytes tell them apart well enough. */
function soundTokens(sim: SimState, sound: Buffer, seconds: number): void {
  const sample = `${sound.length}:${sound.toString('latin1', 0, 1024)}${sound.toString('latin1', Math.max(0, sound.length - 1024))}`;
  const count = Math.min(MOST_PROMPT_TOKENS, Math.max(1, seconds * TOKENS_PER_SECOND));
  sim.tokens.clear();
  sim.tokens.special(SPECIAL.media);
  sim.tokens.append(new Array<number>(count).fill(textHash(sample) & 0xfffffff));
}

function transcriptJson(text: string, seconds: number, verbose: boolean): string {
  if (!verbose) return `{"text":"${escapeJson(text)}","usage":{"type":"duration","seconds":${seconds}}}`;
  const segment = { id: 0, start: 0, end: seconds, text };
  return JSON.stringify({
    task: 'transcribe',
    language: 'en',
    duration: String(seconds),
    text,
    segments: [segment],
  });
}
