/** A helper thread that does as it is told, without helping anybody. */
import type { Channel, MessageKind, QuestionKind } from '../../src/base/channel.ts';

export const ECHO: QuestionKind<number, number> = { name: 'stub.echo' };
export const NEVER: QuestionKind<undefined, undefined> = { name: 'stub.never' };
export const END: MessageKind<keyof typeof ENDS> = { name: 'stub.end' };

const ENDS = {
  exception: () => {
    setTimeout(() => {
      throw new Error('a fault');
    });
  },
  out_of_memory: () => {
    const kept: unknown[] = [];
    for (;;) kept.push(new Array(1e6).fill(kept.length));
  },
  exit: () => process.exit(),
  hung: () => {
    for (;;);
  },
};

/** @param data `{ plus }` is added to what it is asked to echo; `{ fails }` ends it before it listens; `{ stuck }` keeps it from that. */
export function serve(
  { plus = 0, fails, stuck }: { plus?: number; fails?: string; stuck?: boolean },
  channel: Channel,
): void {
  if (fails !== undefined) throw new Error(fails);
  while (stuck === true);
  channel.answer(ECHO, (value) => value + plus);
  channel.answer(NEVER, () => new Promise<undefined>(() => undefined));
  channel.on(END, (how) => {
    ENDS[how]();
  });
}
