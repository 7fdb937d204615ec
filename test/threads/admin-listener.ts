/** A listener that has the worker and admin routes from control, and nothing else. */
import type { Channel, MessageKind } from '../../src/base/channel.ts';
import { systemClock } from '../../src/base/system-clock.ts';
import { JoinedMemory } from '../../src/base/thread-memory.ts';
import { NO_PLUGINS } from '../../src/config/schema/plugin-policy-schema.ts';
import { silentLog } from '../../src/observe/log.ts';
import type { DoorSettings } from '../../src/admin/door.ts';
import { RemoteAdmin } from '../../src/admin/remote-admin.ts';
import { ClientSeats } from '../../src/http/client-seats.ts';
import type { EdgeRequest } from '../../src/http/edge-request.ts';
import { EdgeServer } from '../../src/http/server.ts';

/** From the listener: its port. */
export const LISTENS: MessageKind<number> = { name: 'test:listens' };

export interface ListenerOptions {
  readonly host: string;
  readonly door: DoorSettings;
  /** What the listener is to take for the address of every peer. */
  readonly peer: string | undefined;
}

/** What it does with a request: false = not one of its own. */
export type Handle = (...exchange: Parameters<RemoteAdmin['handle']>) => boolean;

/** Others than those of `handle` get a 204. */
export function openListener(
  { host, peer }: Pick<ListenerOptions, 'host' | 'peer'>,
  handle: Handle,
): EdgeServer {
  return new EdgeServer(
    {
      ...{ host, port: 0, maxHeaderSize: 16_384, headerTimeoutMs: 60_000, keepAliveMs: 60_000 },
      ...{ bodyIdleTimeoutMs: 60_000, maxPayloadSize: 1, maxInflightBodyBytes: 1, corsAllowedOrigins: [] },
      tls: undefined,
    },
    (req, res) => {
      if (peer !== undefined) moveTo(req, peer);
      if (!handle(req, res)) {
        res.writeHead(204, 'No Content', []);
        res.end();
      }
      return Promise.resolve();
    },
    { onRefused: ignore, onHandshakeFailure: ignore, onCertificate: ignore, onShortage: ignore },
    { seats: new ClientSeats(Infinity, systemClock), standing: Infinity },
  );
}

export interface RemoteListener {
  readonly edge: EdgeServer;
  readonly admin: RemoteAdmin;
  readonly port: number;
  /** Policies that were switched: the model and what it has got. */
  readonly switched: readonly string[];
}

/** The listener with what stands behind it in a request thread. */
export async function listenForControl(channel: Channel, options: ListenerOptions): Promise<RemoteListener> {
  const switched: string[] = [];
  const memory = new JoinedMemory(new Map(), { rows: 2, self: 1 });
  const admin = new RemoteAdmin(
    { ...options.door, loadCheckIntervalMs: 0, cacheKnowledge: 'auto' },
    {
      part: { kind: 'request', memory, channel },
      policies: {
        switchTo: ({ type }, model = '') => switched.push(`${model} ${type}`) > 0,
        switchBack: (model) => switched.push(`${model} back`) > 0,
        switchStage: (stage, settings) => switched.push(`${stage} ${settings?.type ?? 'back'}`) > 0,
      },
      ...{ plugins: NO_PLUGINS, log: silentLog },
    },
  );
  const edge = openListener(options, (req, res) => admin.handle(req, res));
  const port = await edge.listen();
  channel.post(LISTENS, port);
  return { edge, admin, port, switched };
}

/** There are no two machines in a test: the kernel's word about the peer is replaced. */
function moveTo({ socket }: EdgeRequest, peer: string): void {
  Object.defineProperty(socket, 'remoteAddress', { value: peer, configurable: true });
}

function ignore(): void {
  // Nobody wants to know.
}
