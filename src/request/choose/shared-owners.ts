import type { Channel, Channels, MessageKind, QuestionKind } from '../../base/channel.ts';
import type { Clock } from '../../base/clock.ts';
import { ResourceOwners, type Owner, type OwnersElsewhere } from './resource-owners.ts';

type OwnedResource = readonly [resourceId: string, owner: Owner];

/** To control: a thread has seen that it was made. */
export const CREATED: MessageKind<OwnedResource> = { name: 'owners:created' };
/** To control: a thread has found it at this worker. */
export const FOUND: MessageKind<{ readonly resourceId: string; readonly worker: string }> = {
  name: 'owners:found',
};
/** To all threads: it is this one's. */
export const OWNED: MessageKind<OwnedResource> = { name: 'owners:owned' };
/** In either direction: whose is it? */
export const OWNER_OF: QuestionKind<string, Owner | undefined> = { name: 'owners:of' };

/** A thread that does not answer control by then is not waited for, nor control itself by then. */
const THREADS_MS = 250;
const CONTROL_MS = 1000;

/** In a request thread: what it sees it tells control, and what it does not know it asks there. */
export class OwnersOfThread extends ResourceOwners {
  readonly #channel: Channel;
  readonly #clock: Clock;

  constructor(channel: Channel, clock: Clock) {
    super();
    this.#channel = channel;
    this.#clock = clock;
    channel.on(OWNED, ([resourceId, owner]) => {
      this.set(resourceId, owner);
    });
    channel.answer(OWNER_OF, (resourceId) => this.known(resourceId));
  }

  override created(resourceId: string, worker: string, tenant: string | undefined): void {
    super.created(resourceId, worker, tenant);
    this.#channel.post(CREATED, [resourceId, { worker, tenant }]);
  }

  override found(resourceId: string, worker: string): void {
    const isNews = this.ownerOf(resourceId) !== worker;
    super.found(resourceId, worker);
    if (isNews) this.#channel.post(FOUND, { resourceId, worker });
  }

  override lookUp(resourceId: string): Promise<void> | undefined {
    return this.known(resourceId) ? undefined : this.#ask(resourceId);
  }

  async #ask(resourceId: string): Promise<void> {
    const { promise: late, resolve } = Promise.withResolvers<undefined>();
    const timer = this.#clock.after(CONTROL_MS, () => {
      resolve(undefined);
    });
    // Control has ended, and so does this thread: what is not known is looked for at the workers.
    const answered = this.#channel.ask(OWNER_OF, resourceId).catch(() => undefined);
    const owner = await Promise.race([answered, late]);
    timer.cancel();
    if (owner && !this.known(resourceId)) this.set(resourceId, owner);
  }
}

/** In control: knows what any thread has told, and decides who owns what. */
export class OwnersOfThreads extends ResourceOwners {
  readonly #channels: Channels;

  constructor(channels: Channels, elsewhere?: () => OwnersElsewhere | undefined) {
    super(elsewhere);
    this.#channels = channels;
    channels.on(CREATED, (_row, [resourceId, { worker, tenant }]) => {
      this.created(resourceId, worker, tenant);
      this.#tell(resourceId);
    });
    channels.on(FOUND, (_row, { resourceId, worker }) => {
      this.found(resourceId, worker);
      this.#tell(resourceId);
    });
    channels.answer(OWNER_OF, (_row, resourceId) => this.known(resourceId) ?? this.#askThreads(resourceId));
  }

  #tell(resourceId: string): void {
    const owner = this.known(resourceId);
    if (owner) this.#channels.broadcast(OWNED, [resourceId, owner]);
  }

  /** The client may be faster than the word of the thread that has answered it: whoever answers here has finished its turn. */
  async #askThreads(resourceId: string): Promise<Owner | undefined> {
    const answers = await this.#channels.askAll(OWNER_OF, resourceId, THREADS_MS);
    const known = this.known(resourceId) ?? answers.find(({ answer }) => answer)?.answer;
    return known ?? this.askElsewhere(resourceId);
  }
}
