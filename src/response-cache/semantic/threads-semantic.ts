import type { Channel, Channels, MessageKind, QuestionKind } from '../../base/channel.ts';
import type { SemanticAnswers, SemanticHit } from './semantic-answers.ts';

interface Question {
  readonly partition: string;
  readonly embedding: Float32Array;
}

/** To control, which has the answers. */
const FIND: QuestionKind<Question, { readonly value: Uint8Array; readonly similarity: number } | undefined> =
  {
    name: 'semantic:find',
  };
const KEEP: MessageKind<Question & { readonly value: Uint8Array }> = { name: 'semantic:keep' };

/** The end of a request thread. */
export class SemanticAnswersOfThread implements SemanticAnswers {
  readonly #channel: Channel;

  constructor(channel: Channel) {
    this.#channel = channel;
  }

  async find(partition: string, embedding: Float32Array): Promise<SemanticHit | undefined> {
    // Control has ended, and so does this thread.
    const found = await this.#channel.ask(FIND, { partition, embedding }).catch(() => undefined);
    return found && { ...found, value: bufferOf(found.value) };
  }

  keep(partition: string, embedding: Float32Array, value: Buffer): void {
    // A view of a larger buffer would be posted with all of it.
    const own = new Uint8Array(value);
    this.#channel.post(KEEP, { partition, embedding, value: own }, [own.buffer]);
  }
}

/** In control: answers and hears the request threads. */
export function answerSemantic(channels: Channels, answers: () => SemanticAnswers | undefined): void {
  channels.answer(FIND, async (_row, { partition, embedding }) => {
    const hit = await answers()?.find(partition, embedding);
    return hit && { ...hit, value: new Uint8Array(hit.value) };
  });
  channels.on(KEEP, (_row, { partition, embedding, value }) => {
    answers()?.keep(partition, embedding, bufferOf(value));
  });
}

function bufferOf({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}
