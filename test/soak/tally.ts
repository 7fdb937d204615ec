import type { SoakClient } from './client.ts';

const MOST_FINDINGS = 20;
/** How exchanges end whose thread dies, and that late they are noticed. */
const TORN = /^(?:\d+ )*cut\b|without an end$|was reset|ECONNRESET|EPIPE|socket|closed|ended/i;
const NOTICED_MS = 1_000;

/** How exchanges ended, by client. */
export class Tally {
  readonly #ends = new Map<string, Map<string, number>>();
  readonly #findings: string[] = [];
  #exchanges = 0;
  #unexpected = 0;
  #diedAt = -Infinity;
  #deaths = 0;
  #torn = 0;

  /** @param startedAt When the exchange began; `performance.now()`. */
  count(client: SoakClient, end: string, startedAt: number): void {
    this.#exchanges += 1;
    const ends = this.#ends.get(client.name) ?? new Map<string, number>();
    ends.set(end, (ends.get(end) ?? 0) + 1);
    this.#ends.set(client.name, ends);
    if (client.fine.includes(end)) return;
    if (TORN.test(end) && startedAt <= this.#diedAt + NOTICED_MS) this.#torn += 1;
    else this.find(`${client.name}: ended ${end}, expected ${client.fine.join(' or ')}`);
  }

  /** A thread is about to die: what runs on it ends with it. */
  threadDies(): void {
    this.#diedAt = Infinity;
    this.#deaths += 1;
  }

  threadDied(): void {
    this.#diedAt = performance.now();
  }

  /** Threads that died, and exchanges that ended with them. */
  get deaths(): { readonly threads: number; readonly exchanges: number } {
    return { threads: this.#deaths, exchanges: this.#torn };
  }

  /** Something that should not be. */
  find(text: string): void {
    this.#unexpected += 1;
    if (this.#findings.length >= MOST_FINDINGS) return;
    this.#findings.push(text);
    process.stdout.write(`  found: ${text}\n`);
  }

  get exchanges(): number {
    return this.#exchanges;
  }

  get unexpected(): number {
    return this.#unexpected;
  }

  get findings(): readonly string[] {
    return this.#findings;
  }

  /** A line per client that had a turn. */
  lines(clients: readonly SoakClient[]): string[] {
    const width = Math.max(...clients.map(({ name }) => name.length));
    return clients.flatMap(({ name }) => {
      const ends = this.#ends.get(name);
      if (!ends) return [];
      const shown = [...ends].map(([end, count]) => `${end} x ${count}`).join(', ');
      return [`  ${name.padEnd(width)}  ${shown}`];
    });
  }
}
