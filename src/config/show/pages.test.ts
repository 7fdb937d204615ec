import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parse } from 'yaml';
import { readYaml } from '../load/file.ts';
import { helpText, helpTopics, topicText } from './help-text.ts';
import { recordJsonSchema } from '../../decisions/record-schema.ts';
import { configJsonSchema } from './json-schema.ts';
import { CONFIG_KEYS } from '../schema/keys.ts';
import { configFromOptions } from '../load/load.ts';
import { printConfig } from './print.ts';
import { redactConfig } from './redact.ts';
import { referencePages } from './reference.ts';
import { resolveLayers } from '../load/resolve.ts';
import { good } from '../test-support.ts';

const loaded = good(
  configFromOptions({
    workerUrls: ['http://a', 'http://b'],
    apiKey: 'sk-one',
    adminApiKey: 'sk-two',
    workerApiKeys: { 'http://a': 'sk-three' },
    policy: { type: 'consistent_hash', loadBound: 1.25 },
  }),
);

describe('secrets', () => {
  it('are redacted, their names are not, and the original stays', () => {
    const safe = redactConfig(loaded.config);
    assert.equal(safe.api_key, '***');
    assert.equal(safe.admin_api_key, '***');
    assert.deepEqual(safe.worker_api_keys, { 'http://a': '***' });
    assert.equal(loaded.config.api_key, 'sk-one');
  });

  it('that are not set stay unset', () => {
    const { config } = good(configFromOptions({ workerUrls: [] }));
    assert.deepEqual(redactConfig(config), config);
  });

  it('are not in the print', () => {
    assert.doesNotMatch(printConfig(loaded.config, loaded.origins), /sk-/);
  });
});

describe('the print', () => {
  it('is a file that gives the same configuration', () => {
    const text = printConfig(loaded.config, loaded.origins);
    const again = good(resolveLayers([readYaml(text, 'p').layer], { needsWorkers: true, notices: [] }));
    assert.deepEqual(again.config, redactConfig(loaded.config));
    // A section with nothing in it is none.
    const shown = { ...redactConfig(loaded.config), mode: undefined };
    assert.deepEqual(parse(text), JSON.parse(JSON.stringify(shown)));
  });

  it('leaves the policy unset that nobody has set', () => {
    const { config, origins } = good(configFromOptions({ workerUrls: ['http://a'] }));
    const text = printConfig(config, origins);
    assert.match(text, /^# policy: least_work +# default$/m);
    assert.equal('policy' in parse(text), false);
  });

  it('says where each value came from', () => {
    const text = printConfig(loaded.config, loaded.origins);
    assert.match(text, /^ {2}load_bound: 1\.25 +# option policy\.loadBound$/m);
    assert.match(text, /^port: 30000 +# default$/m);
  });
});

describe('help and reference pages', () => {
  const pages = referencePages();
  const page = (path: string): string => pages.find((one) => one.path === path)?.markdown ?? '';

  it('name every key, flag and variable', () => {
    const help = helpText({ columns: 100 });
    for (const key of CONFIG_KEYS) {
      assert.ok(page('docs/reference/config.md').includes(`\`${key.name}\``), key.name);
      if (key.env !== undefined) assert.ok(page('docs/reference/config.md').includes(key.env), key.env);
      for (const flag of key.flags) {
        const word = key.default === true ? flag.replace('--', '--no-') : flag;
        assert.ok(help.includes(word), word);
        assert.ok(page('docs/reference/cli.md').includes(word), word);
      }
    }
  });

  it('are the same on every machine', () => {
    const texts = [
      helpText({ columns: 100 }),
      ...pages.map(({ markdown }) => markdown),
      JSON.stringify(configJsonSchema()),
    ];
    for (const text of texts) assert.ok(!text.includes(String(loaded.config.max_inflight_body_bytes)));
  });

  it('have no heading with nothing below it', () => {
    assert.doesNotMatch(helpText({ columns: 100 }), /^Hooks$/m);
    assert.doesNotMatch(page('docs/reference/cli.md'), /^## Hooks$/m);
    assert.match(page('docs/reference/config.md'), /^## Hooks$/m);
  });

  it('show one part, with what only the file can say, by its name in singular or plural', () => {
    for (const topic of helpTopics()) {
      const text = topicText(topic, { columns: 100 }) ?? '';
      assert.ok(text.split('\n').length > 2, topic);
    }
    const policies = topicText('policies', { columns: 100 }) ?? '';
    assert.equal(policies, topicText('Policy', { columns: 100 }));
    assert.match(policies, /^Policy\n {2}--policy /);
    assert.match(policies, /--theta/);
    assert.doesNotMatch(policies, /--port/);
    assert.match(topicText('hook', { columns: 100 }) ?? '', /^Hooks, in the file\n {2}pre_routing_hooks /);
    assert.equal(topicText('nothing', { columns: 100 }), undefined);
  });

  it('fit the terminal', () => {
    for (const line of helpText({ columns: 80 }).split('\n').slice(4)) {
      // A list of long words, a flag with its aliases and the usage lines cannot be broken.
      if (line.startsWith('  --') || line.startsWith('       vllm') || !line.trim().includes(' ')) continue;
      assert.ok(line.length <= 110, line);
    }
  });

  it('have tables whose rows all have the same number of cells', () => {
    for (const { markdown } of pages) {
      for (const block of markdown.split('\n\n').filter((part) => part.startsWith('|'))) {
        const cells = block
          .trim()
          .split('\n')
          .map((row) => row.replaceAll('\\|', '').split('|').length);
        assert.equal(new Set(cells).size, 1, block);
      }
    }
  });
});

describe('the JSON schema', () => {
  const schema = JSON.parse(JSON.stringify(configJsonSchema()));

  it('has every key with its description and refuses others', () => {
    assert.equal(schema.additionalProperties, false);
    assert.equal(schema.properties.port.description, 'Port to listen on; 0 takes any free port.');
    assert.deepEqual([schema.properties.port.minimum, schema.properties.port.maximum], [0, 65_535]);
    assert.equal(schema.properties.retry.additionalProperties, false);
    assert.equal(schema.properties.retry.properties.max_retries.default, 5);
    assert.equal(schema.properties.queue_size.maximum, undefined);
    assert.equal(schema.required, undefined);
  });

  it('takes a policy by name or as an object', () => {
    const [byName, byObject] = schema.properties.policy.anyOf;
    assert.ok(byName.enum.includes('least_work'));
    const builtIn = byObject.oneOf.filter(
      (form: { additionalProperties: boolean }) => !form.additionalProperties,
    );
    assert.equal(builtIn.length, byName.enum.length);
    const [open, ...more] = byObject.oneOf.filter((form: object) => !builtIn.includes(form));
    assert.deepEqual(more, []);
    assert.deepEqual(open.properties.type.not.enum, byName.enum);
  });

  it('has patterns that every validator can compile, in whatever mode', () => {
    const patterns = [configJsonSchema(), recordJsonSchema()].flatMap((one) =>
      [...JSON.stringify(one).matchAll(/"pattern":("(?:[^"\\]|\\.)*")/g)].map(
        ([, text = '']) => JSON.parse(text) as string,
      ),
    );
    assert.ok(patterns.length > 20);
    for (const pattern of patterns) {
      assert.doesNotMatch(pattern, /\\[pP]/);
      for (const mode of ['', 'u']) new RegExp(pattern, mode);
    }
  });

  it('has nothing but words of JSON Schema', () => {
    const text = JSON.stringify(schema);
    for (const word of ['"about"', '"flags"', '"group"', '"secret":true', '"defaultText"', '"env"']) {
      assert.ok(!text.includes(word), word);
    }
  });
});
