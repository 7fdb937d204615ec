import type { Channel, MessageKind } from '../base/channel.ts';
import type { ThreadPart } from '../base/thread-part.ts';
import type { PolicyDefaults } from '../config/settings/cache-knowledge.ts';
import type { BodySink, EdgeRequest } from '../http/edge-request.ts';
import type { EdgeResponse } from '../http/edge-response.ts';
import { AdminDoor, type DoorSettings } from './door.ts';
import type { AdminHead } from './exchange.ts';
import { followSwitches, type SwitchFollowerDeps } from './policy-switches.ts';
import {
  ANSWER,
  ASKED,
  BODY,
  bufferOf,
  CAUGHT_UP,
  CUT,
  OVER,
  owned,
  READY,
  WANTED,
} from './remote-messages.ts';

/**
 * So many requests of one thread may be under way in control, and with each of them one piece of a body, which is at most what
 * waits in an `EdgeRequest` and one read of a socket: 128 KiB.
 */
export const MOST_UNDER_WAY = 256;
/** The same for those that the gate has turned away: control tells them so, but they shall not keep anybody else out. */
export const MOST_TURNED_AWAY = 64;

export type RemoteSettings = DoorSettings & PolicyDefaults;

export interface RemoteAdminDeps extends Pick<SwitchFollowerDeps, 'policies' | 'plugins' | 'log'> {
  readonly part: Extract<ThreadPart, { readonly kind: 'request' }>;
}

/**
 * What a request thread has of the worker and admin routes: it looks at who asks, hands what they ask and get to and fro, and
 * switches policies as they say.
 */
export class RemoteAdmin {
  readonly #channel: Channel;
  readonly #door: AdminDoor;
  #settings: RemoteSettings;
  readonly #underWay = new Map<number, Exchange>();
  #turnedAway = 0;
  #lastId = 0;

  constructor(settings: RemoteSettings, { part, ...deps }: RemoteAdminDeps) {
    const { channel } = part;
    this.#channel = channel;
    this.#settings = settings;
    followSwitches({ ...deps, ...part, settings: () => this.#settings });
    this.#door = new AdminDoor(settings, (head, req, res) => {
      this.#ask(head, req, res);
    });
    channel.on(WANTED, ({ id }) => this.#underWay.get(id)?.sendBody());
    channel.on(ANSWER, ({ id, ...answer }) => this.#underWay.get(id)?.answer(answer));
    channel.on(CUT, ({ id }) => this.#underWay.get(id)?.cut());
    channel.answer(CAUGHT_UP, () => true);
  }

  /** How many requests are with control. */
  get underWay(): number {
    return this.#underWay.size;
  }

  reconfigure(settings: RemoteSettings): void {
    this.#settings = settings;
    this.#door.reconfigure(settings);
  }

  /** False when the request is not for these routes: then nothing has been done. */
  handle(req: EdgeRequest, res: EdgeResponse): boolean {
    return this.#door.handle(req, res);
  }

  #ask(head: AdminHead, req: EdgeRequest, res: EdgeResponse): void {
    const isIn = head.verdict.kind === 'admitted';
    const hasRoom = isIn
      ? this.#underWay.size - this.#turnedAway < MOST_UNDER_WAY
      : this.#turnedAway < MOST_TURNED_AWAY;
    if (!hasRoom) {
      refuse(res);
      return;
    }
    const id = ++this.#lastId;
    if (!isIn) this.#turnedAway += 1;
    this.#underWay.set(id, new Exchange(id, { req, res, channel: this.#channel }));
    res.onClosed(() => {
      this.#underWay.delete(id);
      if (!isIn) this.#turnedAway -= 1;
      this.#channel.post(OVER, { id, sent: res.finished });
    });
    this.#channel.post(ASKED, { id, head });
  }
}

/** One request, seen from its connection. */
class Exchange implements BodySink {
  readonly #id: number;
  readonly #req: EdgeRequest;
  readonly #res: EdgeResponse;
  readonly #channel: Channel;
  #isRead = false;

  constructor(
    id: number,
    parts: { readonly req: EdgeRequest; readonly res: EdgeResponse; readonly channel: Channel },
  ) {
    this.#id = id;
    this.#req = parts.req;
    this.#res = parts.res;
    this.#channel = parts.channel;
  }

  /** Control wants the next piece of the body. */
  sendBody(): void {
    if (this.#isRead) {
      this.#req.resume();
      return;
    }
    this.#isRead = true;
    this.#req.read(this);
  }

  answer({ head, piece, last }: Omit<Posted<typeof ANSWER>, 'id'>): void {
    const res = this.#res;
    if (res.closed) return;
    try {
      if (head) res.writeHead(head.status, head.reason, head.headers);
    } catch {
      // No head that can be written: a fault of ours, and not the end of the thread.
      res.destroy();
      return;
    }
    const bytes = bufferOf(piece);
    if (last) res.end(bytes);
    else if (res.write(bytes)) this.#ready();
    else res.onDrain = () => this.#ready();
  }

  cut(): void {
    this.#res.destroy();
  }

  onBytes(bytes: Buffer): void {
    // Control has asked for one piece.
    this.#req.pause();
    const piece = owned(bytes);
    this.#channel.post(BODY, { id: this.#id, piece }, [piece.buffer]);
  }

  onEnd(): void {
    this.#channel.post(BODY, { id: this.#id, piece: 'end' });
  }

  onBroken(): void {
    this.#channel.post(BODY, { id: this.#id, piece: 'broken' });
  }

  #ready(): void {
    this.#res.onDrain = undefined;
    this.#channel.post(READY, { id: this.#id });
  }
}

type Posted<Kind> = Kind extends MessageKind<infer Body> ? Body : never;

/** In the words of the routes themselves. */
function refuse(res: EdgeResponse): void {
  const body = JSON.stringify({
    error: 'too many requests for the worker and admin routes are under way',
    code: 'QUEUE_FULL',
  });
  res.writeHead(503, 'Service Unavailable', [
    ...['cache-control', 'no-store', 'retry-after', '1'],
    ...['content-type', 'application/json; charset=utf-8', 'content-length', String(body.length)],
  ]);
  res.end(body);
}
