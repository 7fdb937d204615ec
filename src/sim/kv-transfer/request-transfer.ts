import type { IncomingKv, Sequence, SequenceAsk } from '../engine/sequence.ts';
import type { WorkerModel } from '../engine/worker-model.ts';
import type { FaultPlan } from '../server/faults.ts';
import type { Handing, KeptBlocks, KvRequest } from './handing.ts';
import type { KvFetch } from './kv-fetch.ts';
import { load, save } from './shared-storage.ts';
import type { WorkerTransfer } from './worker-transfer.ts';

/** What one request has to do with the KV caches of other workers. Of several answers the first one has it alone. */
export class RequestTransfer {
  readonly #worker: WorkerTransfer;
  readonly #request: KvRequest;
  readonly #handing: Handing;
  readonly #faults: FaultPlan;
  readonly #fetch: KvFetch | undefined;
  #engine: WorkerModel | undefined;
  #params: object | null = null;
  #isKept = false;

  constructor(worker: WorkerTransfer, request: KvRequest, handing: Handing, faults: FaultPlan) {
    this.#worker = worker;
    this.#request = request;
    this.#handing = handing;
    this.#faults = faults;
    this.#fetch = handing.kind === 'fetch' ? worker.fetch(handing.source) : undefined;
  }

  /** What the engine is asked for beside the tokens. `onFailed`: it does not come, and the request is to fail. */
  ask(
    engine: WorkerModel,
    hashes: Uint32Array,
    onFailed: () => void,
  ): Pick<SequenceAsk, 'incoming' | 'keepsBlocks'> {
    this.#engine = engine;
    const { kind } = this.#handing;
    if (kind === 'keep') return { keepsBlocks: true };
    if (kind === 'share' && engine.cpuCache) load(hashes, engine.cpuCache);
    if (kind !== 'fetch' && kind !== 'unfetchable') return {};
    return { incoming: this.#incoming(engine, onFailed) };
  }

  #incoming(engine: WorkerModel, onFailed: () => void): IncomingKv {
    const failed = (settle: (arrived: boolean) => void): void => {
      this.#worker.statsOf(engine).failedTransfers++;
      if (this.#worker.settings.onFailure === 'recompute') settle(false);
      else onFailed();
    };
    return {
      fetch: (tokens, settle) => {
        if (!this.#fetch || this.#faults.loadFailure) {
          this.abandon();
          // Not within the engine's step, which is being planned.
          setImmediate(failed, settle);
          return;
        }
        const { ms, bytes } = this.#worker.transferOf(tokens, this.#faults.slowTransfer?.ms ?? 0);
        this.#fetch.begin(ms, (arrived) => {
          if (arrived) {
            this.#worker.record(engine, ms, bytes);
            settle(true);
          } else failed(settle);
        });
      },
    };
  }

  /** The first answer is there; `answer` is called when the client may have it. */
  done(sequence: Sequence, firstToken: number | undefined, answer: () => void): void {
    const engine = this.#engine;
    const handing = this.#handing;
    if (!engine || handing.kind === 'fetch' || handing.kind === 'unfetchable') {
      answer();
      return;
    }
    const { hashes } = sequence.ask;
    const prompt = hashes.subarray(0, 2 * Math.floor(sequence.computed / engine.settings.blockSize));
    if (handing.kind === 'share') save(prompt);
    if (handing.kind === 'send') this.#worker.send(handing, prompt);
    this.#params = this.#worker.connector.answer(
      this.#keptOf(engine, sequence, firstToken),
      this.#worker.self,
      this.#request.params,
    );
    if (handing.kind !== 'keep') {
      answer();
      return;
    }
    this.#isKept = true;
    const { key, attended } = handing;
    this.#worker.keep(key, { engine, sequence, ...(attended && { onGone: answer }) });
    if (!attended) answer();
  }

  #keptOf(engine: WorkerModel, sequence: Sequence, firstToken: number | undefined): KeptBlocks {
    const { computed: tokens, cachedTokens } = sequence;
    const { engineRequestId } = this.#request;
    return {
      key: this.#handing.kind === 'keep' ? this.#handing.key : '',
      // vLLM's block 0 is none.
      blockIds: sequence.blocks.map((block) => block + 1),
      engineId: this.#worker.engineIdOf(engine),
      ...{ engineRequestId, tokens, cachedTokens, firstToken },
    };
  }

  /** `kv_transfer_params` of the answer. */
  get params(): object | null {
    const { noParams, hugeParams } = this.#faults;
    if (noParams) return null;
    return hugeParams ? { ...this.#params, padding: 'x'.repeat(hugeParams.bytes) } : this.#params;
  }

  /** The client left, or the request never came to the engine. @param sequence of the first answer, where it did. */
  abandon(sequence?: Sequence): void {
    this.#fetch?.abandon();
    if (this.#handing.kind !== 'keep') return;
    if (this.#handing.attended && this.#isKept) this.#worker.free(this.#handing.key);
    if (sequence && !this.#isKept) this.#engine?.giveBack(sequence);
  }
}
