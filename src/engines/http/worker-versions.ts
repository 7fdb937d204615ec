import type { MessageKind } from '../../base/channel.ts';
import type { ThreadPart } from '../../base/thread-part.ts';

/** To a request thread: versions of servers, by base URL; undefined: the server is gone. */
export const VERSIONS: MessageKind<readonly (readonly [baseUrl: string, version: string | undefined])[]> = {
  name: 'versions:known',
};

/** From a request thread that begins. */
export const VERSIONS_WANTED: MessageKind<undefined> = { name: 'versions:wanted' };

/** What the `/version` of each server said at the last check. Checks are control's, so that request threads are told by it. */
export class WorkerVersions {
  readonly #part: ThreadPart;
  /** By base URL. */
  readonly #versions = new Map<string, string>();

  constructor(part: ThreadPart) {
    this.#part = part;
    if (part.kind === 'control')
      part.channels.on(VERSIONS_WANTED, (row) => part.channels.to(row)?.post(VERSIONS, [...this.#versions]));
    if (part.kind !== 'request') return;
    part.channel.on(VERSIONS, (versions) => {
      for (const [baseUrl, version] of versions) this.#set(baseUrl, version);
    });
    part.channel.post(VERSIONS_WANTED, undefined);
  }

  of(baseUrl: string): string | undefined {
    return this.#versions.get(baseUrl);
  }

  note(baseUrl: string, version: string): void {
    if (this.#versions.get(baseUrl) !== version) this.#change(baseUrl, version);
  }

  /** Its last worker has left. In a request thread control says so, which may know of its next one by then. */
  drop(baseUrl: string): void {
    if (this.#part.kind !== 'request' && this.#versions.has(baseUrl)) this.#change(baseUrl, undefined);
  }

  #change(baseUrl: string, version: string | undefined): void {
    this.#set(baseUrl, version);
    if (this.#part.kind === 'control') this.#part.channels.broadcast(VERSIONS, [[baseUrl, version]]);
  }

  #set(baseUrl: string, version: string | undefined): void {
    if (version === undefined) this.#versions.delete(baseUrl);
    else this.#versions.set(baseUrl, version);
  }
}
