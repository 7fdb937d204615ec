import { ByteCollector } from '../base/byte-collector.ts';
import type { Clock } from '../base/clock.ts';
import type { TransportFailure, WorkerClient, WorkerRequest } from './client.ts';

export type Collected =
  | {
      readonly kind: 'response';
      readonly status: number;
      readonly headers: readonly string[];
      readonly body: Buffer;
    }
  | { readonly kind: 'failed'; readonly code: string; readonly message: string };

export interface CollectLimits {
  readonly timeoutMs: number;
  readonly maxBytes: number;
  /** The answer is no longer wanted. */
  readonly signal?: AbortSignal;
}

/** Sends one small request of the router's own and reads the whole answer, within limits. Never rejects. */
export function collect(
  client: WorkerClient,
  request: WorkerRequest,
  clock: Clock,
  limits: CollectLimits,
): Promise<Collected> {
  return new Promise((resolve) => {
    let status = 0;
    let head: readonly string[] = [];
    const body = new ByteCollector();
    const timer = clock.after(limits.timeoutMs, () => {
      exchange.abort();
      settle({ kind: 'failed', code: 'timeout', message: `no answer within ${limits.timeoutMs} ms` });
    });
    const onAbort = (): void => {
      exchange.abort();
      settle({ kind: 'failed', code: 'aborted', message: 'the answer is no longer wanted' });
    };
    const settle = (result: Collected): void => {
      timer.cancel();
      limits.signal?.removeEventListener('abort', onAbort);
      resolve(result);
    };
    const exchange = client.send(request, {
      onConnected() {
        /* the one timeout covers every phase */
      },
      onHead(headStatus, _text, headers) {
        status = headStatus;
        head = headers;
      },
      onData(chunk) {
        if (body.size + chunk.length > limits.maxBytes) {
          exchange.abort();
          settle({ kind: 'failed', code: 'too_large', message: `more than ${limits.maxBytes} bytes` });
        } else {
          body.push(chunk);
        }
      },
      onEnd() {
        settle({ kind: 'response', status, headers: head, body: body.take() });
      },
      onFailure(failure: TransportFailure) {
        settle({ kind: 'failed', code: failure.code, message: failure.message });
      },
      onUpgrade(_status, _text, _headers, socket) {
        socket.destroy();
        settle({ kind: 'failed', code: 'worker_bad_response', message: 'unexpected upgrade' });
      },
      onResent() {
        /* nothing to count for the router's own requests */
      },
    });
    limits.signal?.addEventListener('abort', onAbort);
    if (limits.signal?.aborted === true) onAbort();
  });
}
