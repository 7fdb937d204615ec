import { createHash } from 'node:crypto';
import { readFileSync, realpathSync, watch, type FSWatcher } from 'node:fs';
import { dirname } from 'node:path';
import type { Clock, Timer } from '../base/clock.ts';
import type { Log } from '../observe/log.ts';

export interface WatchDeps {
  /** Absolute. */
  readonly files: readonly string[];
  readonly clock: Clock;
  readonly log: Log;
  /** The content is another one than at the start or at the last call. */
  readonly onChange: () => void;
}

/** An editor or a sync tool writes in several steps. */
const SETTLE_MS = 200;
/** Where the system tells of changes, a look now and then for those that it does not: network and overlay file systems. */
const LOOK_MS = 30_000;
/** Where it does not. */
const POLL_MS = 2_000;

/**
 * Notices when the content of files changes. Folders are watched rather than files: editors replace files, and the
 * kubelet replaces a folder that a symbolic link in the path leads to (`..data`), so that no file is ever written.
 */
export class ConfigWatch {
  readonly #deps: WatchDeps;
  #watchers: FSWatcher[] = [];
  #timer: Timer | undefined;
  /** A look is due soon: what else happens until then is seen by it too. */
  #settling = false;
  #known: string | undefined;
  /** Seen once, and taken when it is still there at the next look: writers take their time. */
  #candidate: string | undefined;
  #stopped = false;

  constructor(deps: WatchDeps) {
    this.#deps = deps;
  }

  start(): void {
    this.#known = fingerprint(this.#deps.files);
    this.#rest();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#closeWatchers();
  }

  /** Waits for the next notice, or the next look. Links may lead somewhere else each time. */
  #rest(): void {
    this.#closeWatchers();
    const watched = this.#watch();
    this.#schedule(watched ? LOOK_MS : POLL_MS);
    // What happened while nobody watched is not told.
    if (this.#changed() !== undefined) this.#settle();
  }

  #settle(): void {
    if (this.#settling || this.#stopped) return;
    this.#settling = true;
    this.#schedule(SETTLE_MS);
  }

  #schedule(ms: number): void {
    this.#timer?.cancel();
    this.#timer = this.#deps.clock.after(ms, () => {
      this.#look();
    });
  }

  #look(): void {
    this.#settling = false;
    const found = this.#changed();
    if (found !== undefined && found === this.#candidate) {
      this.#known = found;
      this.#deps.onChange();
    }
    this.#candidate = found;
    if (!this.#stopped) this.#rest();
  }

  /** The content, where it is another one. While a file is gone it is being replaced, or its folder mounted. */
  #changed(): string | undefined {
    const found = fingerprint(this.#deps.files);
    return found === this.#known ? undefined : found;
  }

  /** False where a folder cannot be watched. */
  #watch(): boolean {
    const notice = (): void => {
      this.#settle();
    };
    try {
      for (const folder of foldersOf(this.#deps.files)) {
        const watcher = watch(folder, { persistent: false }, notice);
        watcher.on('error', notice);
        this.#watchers.push(watcher);
      }
      return true;
    } catch (error) {
      this.#deps.log.debug({ err: error }, 'the configuration is looked at now and then: watching failed');
      this.#closeWatchers();
      return false;
    }
  }

  #closeWatchers(): void {
    for (const watcher of this.#watchers) watcher.close();
    this.#watchers = [];
  }
}

/** The folder that each file stands in as it is named, and the one that links lead to. */
function foldersOf(files: readonly string[]): ReadonlySet<string> {
  return new Set(files.flatMap((file) => [dirname(file), dirname(realPathOf(file))]));
}

function realPathOf(file: string): string {
  try {
    return realpathSync(file);
  } catch {
    return file;
  }
}

/** Of the content; undefined while a file cannot be read. */
function fingerprint(files: readonly string[]): string | undefined {
  const hash = createHash('sha256');
  try {
    for (const file of files) {
      const content = readFileSync(file);
      hash.update(`${content.length}:`).update(content);
    }
  } catch {
    return undefined;
  }
  return hash.digest('base64');
}
