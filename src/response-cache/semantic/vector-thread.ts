/** What the vector thread runs: cosines of ten thousand vectors take two milliseconds, in which no request is to wait. */
import type { Channel } from '../../base/channel.ts';
import { ADD, DROP, NEAREST } from './vector-messages.ts';
import { VectorTable } from './vector-table.ts';

export function serve(_data: undefined, channel: Channel): void {
  const table = new VectorTable();
  channel.on(ADD, (entry) => {
    table.add(entry);
  });
  channel.on(DROP, (ids) => {
    for (const id of ids) table.drop(id);
  });
  channel.answer(NEAREST, ({ partition, vector, threshold }) => table.nearest(partition, vector, threshold));
}
