import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { examined, type Examined } from '../../support/doctor.ts';
import { allOf, type Figure, type VllmCase } from '../case.ts';
import type { Lab } from '../lab.ts';
import { BLOCK_SIZE, type ServerWish, type VllmServer } from '../vllm-server.ts';

/** A set-up that is wrong in one place, and what the doctor has to say of it. */
interface Broken {
  readonly what: string;
  readonly wish: ServerWish;
  /** The check that has to fail, and what it has to say. */
  readonly check: string;
  readonly says: RegExp;
}

/** Nothing of the sort is configured, and the server is none of a pair. */
const MAY_BE_SKIPPED = ['lmcache', 'kv_connector', 'handover'];

export const doctorCase: VllmCase = {
  name: 'doctor',
  about: 'what the doctor says of a healthy set-up, and of four that are broken',
  async run(lab, say) {
    const directory = await mkdtemp(join(tmpdir(), 'vllm-doctor-'));
    try {
      const healthy = await lab.server();
      const figures = healthyFigures(await examine(lab, healthy, directory));
      const broken = await brokenSetUps(directory);
      // Two start side by side: it takes minutes, most of which is reading from the disk.
      for (let first = 0; first < broken.length; first += 2)
        await Promise.all(
          broken.slice(first, first + 2).map(async (one) => {
            const server = await lab.server('a', one.wish);
            figures.push(brokenFigure(one, await examine(lab, server, directory)));
            say(one.what);
          }),
        );
      return figures;
    } finally {
      await rm(directory, { recursive: true });
    }
  },
};

/** Events, a tokenizer and the size of blocks: what is expected of every one of these servers. */
async function examine(lab: Lab, server: VllmServer, directory: string): Promise<Examined> {
  const { url, eventsPort, replayPort } = server;
  const config = {
    workers: [{ url, kv_events: { port: eventsPort, replay_port: replayPort } }],
    tokenizer_path: lab.installed.model,
    policy: { type: 'kv_aware', block_size: BLOCK_SIZE },
  };
  const file = join(directory, `${String(eventsPort)}.yaml`);
  await writeFile(file, stringify(config));
  return examined('--config-file', file, '--check-timeout-secs', '120');
}

function healthyFigures({ code, worker }: Examined): Figure[] {
  const wrong = worker.checks
    .filter(({ check, mark }) => mark !== 'ok' && !(mark === 'skipped' && MAY_BE_SKIPPED.includes(check)))
    .map(({ check, mark, finding }) => `${check} ${mark}: ${finding}`);
  return [
    { ...allOf('healthy: checks that are ok', wrong, worker.checks.length) },
    { what: 'healthy: exit code', value: code, unit: '', least: 0, most: 0 },
    {
      what: 'healthy: prompt tokens that the probes cost',
      value: worker.cost.prompt_tokens,
      unit: 'tokens',
      most: 1000,
    },
  ];
}

function brokenFigure({ what, check, says }: Broken, { code, worker, said }: Examined): Figure {
  const found = said(check);
  const others = worker.checks
    .filter((one) => one.mark === 'fail' && one.check !== check)
    .map((one) => one.check);
  const isFound = code === 1 && found.startsWith('fail') && says.test(found);
  const also = others.length === 0 ? '' : `; fails as well: ${others.join(', ')}`;
  return { what, value: isFound ? 1 : 0, unit: 'of 1', least: 1, note: `${check} ${found}${also}` };
}

async function brokenSetUps(directory: string): Promise<readonly Broken[]> {
  const chatTemplate = join(directory, 'other-template.jinja');
  await writeFile(
    chatTemplate,
    '{% for message in messages %}[{{ message.role }}] {{ message.content }}\n{% endfor %}{% if add_generation_prompt %}[assistant] {% endif %}',
  );
  return [
    {
      ...{ what: 'broken: events off', wish: { events: false } },
      ...{ check: 'events', says: /publishes none|no publisher/ },
    },
    {
      ...{ what: 'broken: another template', wish: { chatTemplate } },
      ...{ check: 'tokenizer', says: /differ/ },
    },
    {
      ...{ what: 'broken: prefix caching off', wish: { prefixCaching: false } },
      ...{ check: 'cache', says: /prefix caching is off/ },
    },
    {
      ...{ what: 'broken: another block size', wish: { blockSize: 2 * BLOCK_SIZE } },
      ...{ check: 'cache', says: /blocks of 64 tokens, and 32 are configured/ },
    },
  ];
}
