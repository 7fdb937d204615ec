import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { VirtualClock } from '../../base/virtual-clock.ts';
import { blocksFromHashIds } from '../../routing/hash-ids.ts';
import { MODEL_DEFAULTS } from '../../sim/engine/model-settings.ts';
import { WorkerModel } from '../../sim/engine/worker-model.ts';
import { ModelledController } from './modelled-controller.ts';

const prompt = (blocks: number, id = 1) =>
  blocksFromHashIds(
    Array.from({ length: blocks }, (_, index) => 1000 * id + index),
    16,
    16 * blocks,
  );

function engine(): WorkerModel {
  return new WorkerModel(
    { ...MODEL_DEFAULTS, blocks: 256, cpuBlocks: 256, maxModelLen: 4096 },
    new VirtualClock(),
  );
}

function store(model: WorkerModel, blocks: number, id = 1): void {
  const { hashes } = prompt(blocks, id);
  for (let block = 0; block < blocks; block++) model.cpuCache?.keep(hashes, block);
}

describe('a modelled controller', () => {
  it('names of each chunk the first that registered it, and nobody behind a chunk that nobody has', () => {
    const controller = new ModelledController(16, undefined);
    const [first, second] = [engine(), engine()];
    controller.join(0, first);
    controller.join(1, second);
    store(first, 32);
    store(second, 64);
    const { held } = controller.holdings(prompt(80));
    assert.deepEqual(
      held.map(({ slot, tokens }) => [slot, tokens]),
      [
        [0, 512],
        [1, 1024],
      ],
    );
    assert.deepEqual(
      [...(controller.chunks() ?? [])],
      [
        [0, 2],
        [1, 4],
      ],
    );
    assert.deepEqual(controller.holdings(prompt(80, 2)).held, []);
    // The last token of a prompt is computed even where all of it is stored.
    assert.equal(controller.holdings(prompt(64)).held.at(-1)?.tokens, 1023);
  });

  it('knows nothing of a worker that left, nor of it what the next one in its slot stores', () => {
    const controller = new ModelledController(16, undefined);
    const model = engine();
    controller.join(0, model);
    store(model, 32);
    controller.leave(0);
    assert.equal(controller.chunks(), undefined);
    controller.join(0, engine());
    assert.deepEqual(controller.holdings(prompt(32)).held, []);
  });

  it('takes what was sent where engines are not to be looked at', () => {
    const sent = {
      match: (_: unknown, slot: number) => ({ tokens: slot === 1 ? 700 : 0 }),
      entriesOf: () => 44,
    };
    const controller = new ModelledController(16, sent);
    controller.join(0, undefined);
    controller.join(1, undefined);
    assert.deepEqual(controller.holdings(prompt(80)).held, [{ slot: 1, tokens: 512, tier: 'cpu' }]);
    assert.equal(controller.chunks()?.get(0), 44);
  });
});
