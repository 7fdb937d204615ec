import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { META_FLAGS, parseFlags } from '../load/flags.ts';
import { readEnv } from '../load/env.ts';
import { readYaml } from '../load/file.ts';
import { problemLine } from '../load/layer.ts';
import { configFromOptions, loadConfig } from '../load/load.ts';
import type { RouterOptions } from '../load/options.ts';
import { lines } from '../test-support.ts';
import { CONFIG_KEYS } from './keys.ts';
import { NOT_OFFERED } from './not-offered.ts';

const TEXT = 'not offered in this version';

describe('names of parts that are not there yet', () => {
  it('are none that are accepted', () => {
    const accepted = new Set<string>([
      ...CONFIG_KEYS.flatMap(({ flags, env, choices }) => [...flags, env ?? '', ...choices]),
      ...META_FLAGS.flatMap(({ flags }) => [...flags]),
      // A section is accepted, too.
      ...CONFIG_KEYS.flatMap(({ path }) => path.map((_, depth) => path.slice(0, depth + 1).join('.'))),
    ]);
    const named: readonly string[] = Object.values(NOT_OFFERED).flat();
    assert.deepEqual(
      named.filter((name) => accepted.has(name)),
      [],
    );
    assert.equal(new Set(named).size, named.length);
  });

  it('are told apart from slips of the pen: flags with their values', () => {
    for (const flag of NOT_OFFERED.flags) {
      const reading = parseFlags([flag, 'a', '9001', 'b=c', '--port', '1']);
      assert.ok(reading.kind === 'flags');
      assert.deepEqual(reading.problems.map(problemLine), [`${flag}: ${TEXT}`]);
    }
  });

  it('are told apart from slips of the pen: keys, whatever stands below them', () => {
    for (const key of NOT_OFFERED.keys) {
      const [section = '', inner] = key.split('.');
      const yaml = inner === undefined ? `${section}: {x: 1}\n` : `${section}: {${inner}: {x: 1}}\n`;
      const { problems } = readYaml(yaml, 'r.yaml');
      assert.deepEqual(
        problems.map(({ message }) => message),
        [`${key}: ${TEXT}`],
      );
    }
  });

  it('are told apart from slips of the pen: variables', () => {
    const variables = [...NOT_OFFERED.variables, 'VLLM_ROUTER_SELECTOR', 'VLLM_ROUTER_CONNECTION_MODE'];
    const { problems } = readEnv(Object.fromEntries(variables.map((name) => [name, 'x'])), undefined);
    assert.deepEqual(
      problems.map(problemLine),
      variables.map((name) => `${name}: ${TEXT}`),
    );
  });

  it('are told apart from slips of the pen: a flag as a key, a key as a flag, an option', () => {
    const fileProblems = readYaml('service_discovery: true\nkv-model: m\n', 'r.yaml').problems;
    assert.deepEqual(fileProblems.map(problemLine), [
      `r.yaml:1:1: service_discovery: ${TEXT}`,
      `r.yaml:2:1: kv-model: ${TEXT}`,
    ]);
    const flags = parseFlags(['--trace-config', 'x', '--selector=a=b', '--prefill_selector', 'a=b']);
    assert.ok(flags.kind === 'flags');
    assert.deepEqual(flags.problems.map(problemLine), [
      `--trace-config: ${TEXT}`,
      `--selector: ${TEXT}`,
      `--prefill_selector: ${TEXT}`,
    ]);
    // The types refuse it as well.
    const options = { workerUrls: ['http://a:1'], traceConfig: {} } as RouterOptions;
    assert.deepEqual(lines(configFromOptions(options)), [`traceConfig: ${TEXT}`]);
  });

  it('are told apart from slips of the pen: policies', () => {
    const load = (argv: string): string[] =>
      lines(loadConfig({ argv: ['--worker-urls', 'http://a:1', ...argv.split(' ')], env: {}, cwd: '.' }));
    for (const policy of ['sticky_least_loaded', 'smetric']) {
      const [line = ''] = load(`--policy ${policy}`);
      assert.match(line, new RegExp(`^--policy: expected one of .*, got "${policy}"; it is ${TEXT}$`));
    }
    assert.match(load('--policy cache_awar')[0] ?? '', /did you mean cache_aware\?$/);
  });
});
