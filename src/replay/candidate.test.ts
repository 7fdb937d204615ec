import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, it } from 'node:test';
import { loadConfig } from '../config/load/load.ts';
import { good } from '../config/test-support.ts';
import { candidateOf } from './candidate.ts';

const folder = mkdtempSync(join(tmpdir(), 'vllm-router-candidate-'));
after(() => {
  rmSync(folder, { recursive: true });
});

function hears(yaml: string): boolean {
  writeFileSync(join(folder, 'r.yaml'), yaml);
  const argv = ['--config-file', 'r.yaml', '--worker-urls=http://w'];
  return candidateOf('r.yaml', good(loadConfig({ argv, env: {}, cwd: folder })).settings).hearsEvents;
}

it('a configuration hears of caches where it has events followed, and a policy that goes by them', () => {
  for (const yaml of [
    'policy: kv_aware',
    'policy: cache_aware\nkv_events: {port: 5557}',
    'policy: least_work\nkv_events: {enabled: on}',
    'policy: {type: cache_aware, cache_knowledge: events}',
    'policy: cache_aware\nkv_events: {bind: "tcp://*:5557"}',
    'policy: cache_aware\nkv_events: {endpoints: ["http://w=tcp://w:5557"]}',
  ])
    assert.equal(hears(yaml), true, yaml);
  for (const yaml of [
    'policy: cache_aware',
    'policy: cache_aware\nkv_events: {enabled: off, port: 5557}',
    'policy: cache_aware\nkv_events: {enabled: off, bind: "tcp://*:5557"}',
    'policy: {type: cache_aware, cache_knowledge: predicted}\nkv_events: {port: 5557}',
    'policy: round_robin\nkv_events: {port: 5557}',
  ])
    assert.equal(hears(yaml), false, yaml);
});
