import { createHash, randomBytes } from 'node:crypto';
import type { Clock, Timer } from '../../base/clock.ts';
import type { Commands, RedisLink } from '../../redis/redis-link.ts';
import { isBytes, SEAL_BYTES, sealed, unsealed } from '../../redis/sealed-value.ts';
import { keyPart, tenantScope, type AnswersOf } from '../answer-key.ts';
import type { Flushed } from '../answer-store.ts';
import { decodeEntry, encodeEntry } from './entry-bytes.ts';
import type { MemoryAnswers } from './memory-answers.ts';
import type { SemanticAnswers, SemanticHit } from './semantic-answers.ts';

export interface SharedBounds {
  readonly maxEntries: number;
  /** Of one answer. */
  readonly maxEntryBytes: number;
  readonly ttlMs: number;
}

export interface SharedAnswersDeps {
  readonly clock: Clock;
  /** Belongs to these answers, which close it. */
  readonly link: RedisLink;
  /** Those of this router, in which all of them are looked for. */
  readonly memory: MemoryAnswers;
  /** Of the vectors: those of different models cannot be compared. */
  readonly model: string;
  readonly secret: string | undefined;
  /** What came of an entry of another replica. */
  readonly onHeard: (outcome: 'taken' | 'unreadable' | 'unavailable') => void;
}

/** A vector of so many dimensions takes no more. */
const MOST_VECTOR_BYTES = 128 * 1024;
const SCAN_COUNT = 200;
const MOST_SCANS = 1000;
const RETRY_MS = 1000;

/**
 * Answers that replicas share: each has all of them in its memory, and finds them there. What one keeps it also writes to Redis and
 * tells the others of; who begins, or has not been connected for a while, reads what there is. Without Redis each router has its own.
 */
export class SharedAnswers implements SemanticAnswers {
  readonly #deps: SharedAnswersDeps;
  readonly #bounds: SharedBounds;
  readonly #beginning: string;
  readonly #channel: string;
  readonly #origin = randomBytes(8).toString('hex');
  #dimensions: number | undefined;
  readonly #known = new Set<string>();
  #closed = false;
  #retry: Timer | undefined;

  constructor(bounds: SharedBounds, deps: SharedAnswersDeps) {
    this.#deps = deps;
    this.#bounds = bounds;
    const { link, model } = deps;
    const space = createHash('sha256').update(model).digest('hex').slice(0, 16);
    this.#beginning = `${link.keyPrefix}sem:${space}:`;
    this.#channel = `${link.keyPrefix}sem:${space}`;
    link.subscribe(
      this.#channel,
      (message) => {
        this.#hear(message);
      },
      () => void this.#readAll(),
    );
  }

  find(partition: string, vector: Float32Array): Promise<SemanticHit | undefined> {
    this.#dimensions = vector.length;
    return this.#deps.memory.find(partition, vector);
  }

  keep(partition: string, vector: Float32Array, value: Buffer): void {
    const { memory, link, clock, secret } = this.#deps;
    this.#dimensions = vector.length;
    memory.keep(partition, vector, value);
    const key = `${this.#beginning}${partition}:${randomBytes(8).toString('hex')}`;
    this.#know(key);
    const bytes = sealed(key, encodeEntry({ keptAt: clock.wall(), vector, value }), secret);
    const ttl = Math.max(1, Math.round(this.#bounds.ttlMs));
    void link
      .ask((redis) => redis.set(key, bytes, 'PX', ttl), 'write')
      .then(({ kind }) => {
        if (kind === 'done') this.#tell({ key });
      });
  }

  /** Here and at the others; how many here. */
  async flush(whose: AnswersOf): Promise<Flushed> {
    const { memory, link } = this.#deps;
    const count = memory.flush(whose);
    this.#tell({ flush: whose });
    let isGone = true;
    const isThrough = await this.#eachKey(async (key) => {
      if (!this.#isOf(key, whose)) return;
      const { kind } = await link.ask((redis) => redis.unlink(key), 'write');
      isGone &&= kind === 'done';
    });
    return { count, cutShort: isThrough && isGone ? undefined : 'unavailable' };
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#retry?.cancel();
    await this.#deps.link.close();
  }

  #tell(message: object): void {
    const { link, secret } = this.#deps;
    const text = Buffer.from(JSON.stringify({ origin: this.#origin, ...message }));
    void link.ask((redis) => redis.publish(this.#channel, sealed(this.#channel, text, secret)), 'write');
  }

  #hear(message: Buffer): void {
    const opened = unsealed(this.#channel, message, this.#deps.secret);
    const said = opened.kind === 'value' ? readMessage(opened.value) : undefined;
    if (!said) {
      this.#deps.onHeard('unreadable');
      return;
    }
    if (said.origin === this.#origin) return;
    if (said.flush) this.#deps.memory.flush(said.flush);
    if (said.key !== undefined) void this.#read(said.key);
  }

  /** Until it has been through all of them: there may be no connection yet. */
  async #readAll(): Promise<void> {
    this.#retry?.cancel();
    let left = this.#bounds.maxEntries;
    const isThrough = await this.#eachKey(async (key) => {
      left -= 1;
      if (left >= 0) await this.#read(key);
    });
    if (!isThrough && !this.#closed)
      this.#retry = this.#deps.clock.after(RETRY_MS, () => void this.#readAll());
  }

  /** Whether all have been found. */
  async #eachKey(work: (key: string) => Promise<void>): Promise<boolean> {
    const { link } = this.#deps;
    const pattern = `${this.#beginning.replaceAll(/[\\*?[\]]/g, '\\$&')}*`;
    let scans = 0;
    for (let node = 0, cursor = '0'; scans < MOST_SCANS && !this.#closed; scans += 1) {
      const step = await link.ask(async (redis) => {
        const server = mastersOf(redis)[node];
        if (!server) return undefined;
        // Taken apart here: what is no such answer is the server's fault, as any other.
        const [next, keys] = await server.scan(cursor, 'MATCH', pattern, 'COUNT', SCAN_COUNT);
        return { next, keys: [...keys].filter((key) => typeof key === 'string') };
      });
      if (step.kind === 'unavailable') return false;
      if (step.value === undefined) return true;
      for (const key of step.value.keys) await work(key);
      cursor = step.value.next;
      if (cursor === '0') node += 1;
    }
    return true;
  }

  async #read(key: string): Promise<void> {
    if (this.#closed || !key.startsWith(this.#beginning) || this.#known.has(key)) return;
    const { link, memory, clock, secret, onHeard } = this.#deps;
    const most = this.#bounds.maxEntryBytes + MOST_VECTOR_BYTES + SEAL_BYTES;
    const answer = await link.ask((redis) => redis.getrangeBuffer(key, 0, most));
    if (answer.kind === 'unavailable') {
      onHeard('unavailable');
      return;
    }
    this.#know(key);
    const opened = isBytes(answer.value) ? unsealed(key, answer.value, secret) : undefined;
    const entry =
      opened?.kind === 'value' && answer.value.length <= most ? decodeEntry(opened.value) : undefined;
    const partition = key.slice(this.#beginning.length, key.lastIndexOf(':'));
    this.#dimensions ??= entry?.vector.length;
    if (!entry || entry.vector.length !== this.#dimensions) {
      onHeard('unreadable');
      return;
    }
    onHeard('taken');
    memory.keep(partition, entry.vector, entry.value, Math.max(0, clock.wall() - entry.keptAt));
  }

  /** So that nothing is taken twice. Forgotten all at once: what is taken again then goes before long. */
  #know(key: string): void {
    if (this.#known.size >= 4 * this.#bounds.maxEntries) this.#known.clear();
    this.#known.add(key);
  }

  #isOf(key: string, { model, tenant }: AnswersOf): boolean {
    const partition = key.slice(this.#beginning.length);
    const begins = tenant === undefined || partition.startsWith(`${keyPart(tenantScope(tenant))}:`);
    return begins && (model === undefined || partition.includes(`:${keyPart(model)}:`));
  }
}

interface Message {
  readonly origin: unknown;
  readonly key?: string;
  readonly flush?: AnswersOf;
}

function readMessage(bytes: Buffer): Message | undefined {
  let said: unknown;
  try {
    said = JSON.parse(bytes.toString());
  } catch {
    return undefined;
  }
  if (typeof said !== 'object' || said === null) return undefined;
  const { origin, key, flush } = said as Readonly<Record<string, unknown>>;
  if (typeof key === 'string') return { origin, key };
  if (typeof flush !== 'object' || flush === null) return undefined;
  const { model, tenant } = flush as Readonly<Record<string, unknown>>;
  return { origin, flush: { model: textOf(model), tenant: textOf(tenant) } };
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

/** Where keys are looked for one by one: each master of a Cluster has some. */
function mastersOf(redis: Commands): readonly Pick<Commands, 'scan'>[] {
  return 'nodes' in redis ? redis.nodes('master') : [redis];
}
