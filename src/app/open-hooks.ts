import type { Clock } from '../base/clock.ts';
import type { HookSettings } from '../config/settings/settings.ts';
import type { PoolSettings } from '../engines/http/connection-pool.ts';
import { HttpWorkerClient } from '../engines/http/http-client.ts';
import type { OutboundSockets } from '../engines/http/outbound-sockets.ts';
import { HookChain } from '../hooks/chain.ts';
import { showHookEvents } from '../hooks/hook-events.ts';
import { openHook, type OpenHookDeps } from '../hooks/open-hook.ts';
import type { Log } from '../observe/log.ts';
import type { Metrics } from '../observe/metrics.ts';

interface Parts extends Omit<OpenHookDeps, 'connect'> {
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly sockets: OutboundSockets;
  /** Rows that threads have in shared memory. */
  readonly rows: number;
  /** Of the settings in force. */
  readonly pool: () => PoolSettings;
}

/** The configured hooks, and the connections to those that are services. */
export function openHooks(
  hooks: readonly HookSettings[],
  { log, metrics, sockets, rows, pool, ...deps }: Parts,
): HookChain {
  const { clock } = deps;
  return new HookChain(hooks, {
    clock,
    // All but the one in control.
    threads: Math.max(1, rows - 1),
    events: showHookEvents(metrics, log),
    open: (hook) =>
      openHook(hook, {
        ...deps,
        connect: ({ base }) =>
          new HttpWorkerClient({ baseUrl: base }, pool(), { clock, sockets, peer: 'hook' }),
      }),
  });
}
