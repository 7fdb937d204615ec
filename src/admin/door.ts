import type { Settings } from '../config/settings/settings.ts';
import type { EdgeRequest } from '../http/edge-request.ts';
import type { EdgeResponse } from '../http/edge-response.ts';
import { AdminPaths } from './admin-paths.ts';
import type { AdminHead } from './exchange.ts';
import { admit } from './gate.ts';

export type DoorSettings = Pick<Settings, 'adminApiKey' | 'proxyOperatorRoutes'>;

/**
 * Where requests for the worker and admin routes are told from all others, and where the gate looks at them: in the thread that
 * has the connection, since only there it can be seen who is at its other end.
 */
export class AdminDoor {
  readonly #serve: (head: AdminHead, req: EdgeRequest, res: EdgeResponse) => void;
  #adminKey: string | undefined;
  #paths: AdminPaths;

  constructor(settings: DoorSettings, serve: (head: AdminHead, req: EdgeRequest, res: EdgeResponse) => void) {
    this.#serve = serve;
    this.#adminKey = settings.adminApiKey;
    this.#paths = pathsOf(settings);
  }

  reconfigure(settings: DoorSettings): void {
    this.#adminKey = settings.adminApiKey;
    this.#paths = pathsOf(settings);
  }

  /** False when the request is not for these routes: then nothing has been done. */
  handle(req: EdgeRequest, res: EdgeResponse): boolean {
    const match = this.#paths.match(req.url);
    if (!match) return false;
    const { method, httpVersion, rawHeaders, length, socket } = req;
    const head = {
      ...{ method, httpVersion, rawHeaders, length },
      ...match,
      peer: socket.remoteAddress,
      verdict: admit(this.#adminKey, req),
    };
    this.#serve(head, req, res);
    return true;
  }
}

function pathsOf({ proxyOperatorRoutes }: DoorSettings): AdminPaths {
  return new AdminPaths({ openApi: !proxyOperatorRoutes });
}
