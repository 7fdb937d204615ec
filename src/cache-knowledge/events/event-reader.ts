import { Arena } from './arena.ts';
import { AttentionGroups } from './attention-groups.ts';
import { EventFields } from './event-fields.ts';
import { NO_EXTRA_KEYS, readExtraKeys } from './extra-keys.ts';
import {
  nothingDropped,
  type BlockName,
  type Dropped,
  type KvEvent,
  type StoredEvent,
  type Tier,
} from './kv-event.ts';
import { tierOf } from './medium.ts';
import { BadMsgpack, Words, type MsgpackCursor } from '../../base/msgpack-cursor.ts';
import { Removals } from './removals.ts';

/** Kinds of layers that keep the whole prompt: what they hold is what a request can use again. */
const WHOLE_PROMPT = new Words(['full_attention', 'mla_attention', 'sink_full_attention']);
/** vLLM's own media; most events name the first one. */
const MEDIA = ['GPU', 'CPU', 'STORAGE'] as const;
const MEDIA_WORDS = new Words(MEDIA);
const MEDIA_TIERS: Readonly<Record<(typeof MEDIA)[number], Tier>> = {
  GPU: 'gpu',
  CPU: 'cpu',
  STORAGE: 'disk',
};
const PARENT = new Uint32Array(2);

/** Reads the events of a batch, one after the other. */
export class EventReader {
  readonly #cursor: MsgpackCursor;
  readonly #fields: EventFields;
  readonly #arena = new Arena();
  readonly #removals = new Removals();
  #groups = new AttentionGroups();
  #events: KvEvent[] = [];
  #dropped: Dropped = nothingDropped();

  constructor(cursor: MsgpackCursor) {
    this.#cursor = cursor;
    this.#fields = new EventFields(cursor);
  }

  begin(groups: AttentionGroups): void {
    this.#groups = groups;
    this.#events = [];
    this.#dropped = nothingDropped();
    this.#arena.reset();
    this.#removals.clear();
  }

  /** The event at the cursor. @throws BadMsgpack */
  read(): void {
    this.#fields.read();
    const next = this.#cursor.at;
    const event = this.#readEvent();
    if (event) {
      this.#flush();
      this.#events.push(event);
    }
    this.#cursor.at = next;
  }

  end(): { readonly events: readonly KvEvent[]; readonly dropped: Dropped } {
    this.#flush();
    const events = this.#events;
    this.#events = [];
    return { events, dropped: this.#dropped };
  }

  #flush(): void {
    if (!this.#removals.isEmpty) this.#events.push(this.#removals.take(this.#arena));
  }

  /** @returns undefined where it is passed over, or is a removal, which waits for others. */
  #readEvent(): KvEvent | undefined {
    switch (this.#fields.type) {
      case undefined:
        this.#dropped.unknown_type += 1;
        return undefined;
      case 'AllBlocksCleared':
        return { kind: 'cleared' };
      case 'BlockRemoved':
        this.#readRemoved();
        return undefined;
      case 'BlockStored': {
        const keeps = this.#fields.goTo('kv_cache_spec_kind')
          ? this.#cursor.readWord(WHOLE_PROMPT) >= 0
          : undefined;
        if (!this.#groups.followsStored(this.#readGroup(), keeps)) {
          this.#dropped.other_group += 1;
          return undefined;
        }
        const stored = this.#readStored();
        if (!stored) this.#dropped.misshapen += 1;
        return stored;
      }
    }
  }

  #readRemoved(): void {
    if (!this.#groups.followsRemoved(this.#readGroup())) {
      this.#dropped.other_group += 1;
      return;
    }
    const tier = this.#readTier();
    if (!this.#removals.fits(tier)) this.#flush();
    const count = this.#goToNames();
    const at = this.#removals.add(tier, count);
    for (let i = 0; i < count; i += 1) this.#cursor.readName(this.#removals.names, at + 2 * i);
  }

  /** @returns undefined where its tokens or keys do not fit its blocks. */
  #readStored(): StoredEvent | undefined {
    const cursor = this.#cursor;
    const fields = this.#fields;
    const blocks = this.#goToNames();
    const names = this.#arena.take(2 * blocks);
    for (let i = 0; i < names.length; i += 2) cursor.readName(names, i);
    const blockSize = fields.goTo('block_size') ? cursor.readNumber() : 0;
    if (!fields.goTo('token_ids')) return undefined;
    const count = cursor.readArray();
    // Offloaded blocks are told of without their tokens.
    const fits =
      count === 0 || (Number.isInteger(blockSize) && blockSize >= 1 && count === blocks * blockSize);
    if (!fits) return undefined;
    const tokens = this.#arena.take(count);
    if (!cursor.readUint32s(tokens)) return undefined;
    const parent = this.#readParent();
    const adapter = this.#readAdapter();
    const keys = fields.goTo('extra_keys')
      ? readExtraKeys(cursor, blocks, adapter, parent === undefined)
      : NO_EXTRA_KEYS;
    if (!keys) return undefined;
    return {
      kind: 'stored',
      names,
      parent,
      tokens,
      blockSize: count === 0 ? 0 : blockSize,
      adapter,
      salt: keys.salt,
      extras: keys.extras,
      tier: this.#readTier(),
    };
  }

  /** @returns how many there are. */
  #goToNames(): number {
    if (!this.#fields.goTo('block_hashes')) throw new BadMsgpack('an event without blocks');
    return this.#cursor.readArray();
  }

  #readParent(): BlockName | undefined {
    if (!this.#fields.goTo('parent_block_hash')) return undefined;
    this.#cursor.readName(PARENT, 0);
    const [low, high] = PARENT;
    // Older simulators say 0 for none.
    return low === 0 && high === 0 ? undefined : { low: low!, high: high! };
  }

  /** Engines before 0.12 tell the number that an adapter has with them, which says nothing of its name. */
  #readAdapter(): string {
    if (this.#fields.goTo('lora_name')) return this.#cursor.readText();
    return this.#fields.goTo('lora_id') ? `lora_id ${this.#cursor.readNumber()}` : '';
  }

  #readGroup(): number {
    return this.#fields.goTo('group_idx') ? this.#cursor.readNumber() : 0;
  }

  #readTier(): Tier {
    if (!this.#fields.goTo('medium')) return 'gpu';
    const from = this.#cursor.at;
    const medium = MEDIA[this.#cursor.readWord(MEDIA_WORDS)];
    if (medium !== undefined) return MEDIA_TIERS[medium];
    this.#cursor.at = from;
    return tierOf(this.#cursor.readText());
  }
}
