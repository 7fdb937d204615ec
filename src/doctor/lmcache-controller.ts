import type { Clock } from '../base/clock.ts';
import { inPieces } from '../base/in-pieces.ts';
import type {
  AskController,
  ControllerDialect,
  Holding,
  LookupPrompt,
} from '../cache-knowledge/lmcache/controller.ts';
import { ControllerPoll, type PollOutcome } from '../cache-knowledge/lmcache/controller-poll.ts';
import type { ControllerState } from '../cache-knowledge/lmcache/controller-state.ts';
import { reading } from '../cache-knowledge/lmcache/json.ts';
import { dialectsOf } from '../cache-knowledge/lmcache/lmcache-knowledge.ts';
import type { LmcacheSettings } from '../config/settings/settings.ts';
import type { WorkerClient } from '../engines/client.ts';
import { collect } from '../engines/collect.ts';

const MAX_ANSWER_BYTES = 4 * 1024 * 1024;

/** What one look at the controller found. */
export interface Listed {
  readonly outcome: PollOutcome;
  /** What is wrong, in words that follow the name of the controller. */
  readonly message: string;
  readonly state: ControllerState;
}

/** LMCache's controller, asked for one examination. */
export class LmcacheController {
  readonly #settings: LmcacheSettings;
  readonly #client: WorkerClient;
  readonly #clock: Clock;

  constructor(settings: LmcacheSettings, client: WorkerClient, clock: Clock) {
    this.#settings = settings;
    this.#client = client;
    this.#clock = clock;
  }

  /** Which instances there are, and which kind of controller it is. */
  list(): Promise<Listed> {
    const { api, pollIntervalMs: intervalMs, timeoutMs } = this.#settings;
    return new Promise((resolve) => {
      const poll = new ControllerPoll(
        { api, intervalMs, timeoutMs },
        {
          ...{ clock: this.#clock, ask: this.#ask },
          onPolled: (outcome, message) => {
            const { state } = poll;
            poll.close();
            resolve({ outcome, message, state });
          },
        },
      );
      poll.want(true);
    });
  }

  /** Who stores the beginning of a prompt; a text says what came instead. */
  async lookUp(
    kind: NonNullable<ControllerState['api']>,
    prompt: LookupPrompt,
    signal: AbortSignal,
  ): Promise<readonly Holding[] | string> {
    const dialect: ControllerDialect = dialectsOf(this.#settings)[kind];
    const { timeoutMs } = this.#settings;
    const answer = await this.#ask(dialect.lookup(prompt), {
      timeoutMs,
      maxBytes: MAX_ANSWER_BYTES,
      signal,
    });
    if (answer.kind === 'failed') return answer.message;
    if (answer.status !== 200) return `status ${String(answer.status)}`;
    const read = reading(answer.body, (said) => dialect.holdings(said, prompt.ids.length));
    return (await inPieces(read))?.entries ?? 'an answer of another kind';
  }

  close(): void {
    this.#client.close();
  }

  readonly #ask: AskController = ({ method, path, body }, limits) => {
    const { prefix, authorization } = this.#settings;
    const headers = ['user-agent', 'vllm-router', 'accept-encoding', 'identity'];
    if (authorization !== undefined) headers.push('authorization', authorization);
    if (body) headers.push('content-type', 'application/json');
    const request = { method, path: prefix + path, headers, body, upgrade: undefined };
    return collect(this.#client, request, this.#clock, limits);
  };
}
