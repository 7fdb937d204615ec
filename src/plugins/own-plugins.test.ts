import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ConfigError, definePlugin, definePolicy, Router, type Plugin } from '../index.ts';

const plugin = definePlugin({
  apiVersion: 1,
  policies: {
    mine: definePolicy({
      parameters: ({ windowSize }): { readonly windowSize: number } => ({ windowSize: Number(windowSize) }),
      create: () => ({ choose: () => ({ kind: 'chosen', index: 0, reason: 'first' }) }),
    }),
  },
});

const OPTIONS = { workerUrls: ['http://127.0.0.1:1'], port: 0, metrics: { port: 0 } } as const;

function problemsOf(make: () => unknown): readonly string[] {
  try {
    make();
    return [];
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.problems;
  }
}

describe('a router inside another program', () => {
  it('takes plugins as they are, and their parameters as they are written', async () => {
    const router = new Router({
      ...OPTIONS,
      ...{ logLevel: 'error', plugins: [plugin], policy: { type: 'mine', windowSize: 3, timeoutMs: 9 } },
    });
    await router.start();
    const report = await router.reload(
      { ...OPTIONS, logLevel: 'error', plugins: [plugin], policy: { type: 'mine', windowSize: 4 } },
      { dryRun: true },
    );
    const changes = report.changes.map(({ key, how }) => `${key} ${how}`);
    assert.ok(!changes.some((line) => line.startsWith('plugins')), changes.join('\n'));
    assert.ok(
      changes.some((line) => line.startsWith('policy')),
      changes.join('\n'),
    );
    await router.stop();
  });

  it('loads them where they are named', async () => {
    const specifier = './examples/plugins/least-recently-used.ts';
    const options = {
      ...OPTIONS,
      plugins: [specifier],
      policy: { type: 'least_recently_used', max_running: 3 },
    };
    assert.deepEqual(
      problemsOf(() => new Router(options)),
      [`plugins[0]: ${specifier} has to be loaded first: await Router.load(options)`],
    );
    assert.ok((await Router.load(options)) instanceof Router);
    await assert.rejects(
      Router.load({ ...OPTIONS, plugins: ['./gone.mjs'] }),
      /plugins\[0\]: \.\/gone\.mjs cannot be found/,
    );
  });

  it('says what is wrong with them', () => {
    const wrong: readonly (readonly [object, RegExp])[] = [
      [{ plugins: [{}] }, /^plugins\[0\]: is written for the plugin API of no version/],
      [{ plugins: [null] }, /^plugins\[0\]: exports no plugin as default, but null$/],
      [
        { plugins: [plugin, plugin] },
        /^plugins\[1\]: has the policy "mine", which plugins\[0\] has already$/,
      ],
      [{ policy: { type: 'mine' } }, /^policy\.type: expected one of .*, got "mine"$/],
      [
        { plugins: [plugin], policy: { type: 'mine', fallback: 'mine' } },
        /^policy\.fallback: expected one of/,
      ],
      [
        { plugins: [plugin], policy: { type: 'mine', timeoutMs: 0 } },
        /^policy\.timeoutMs: expected an integer/,
      ],
    ];
    for (const [options, expected] of wrong) {
      const [line = ''] = problemsOf(
        () => new Router({ ...OPTIONS, ...(options as { plugins: readonly Plugin[] }) }),
      );
      assert.match(line, expected);
    }
  });
});
