/** POST /admin/reload: what it reads, what it changes, what it says, and what it leaves alone. */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { test } from 'node:test';
import { configFromOptions } from '../../src/config/load/load.ts';
import { silentLog, type Log } from '../../src/observe/log.ts';
import { adminOf, settledWorker, type Parsed } from '../support/admin.ts';
import { CHAT, chat, workerOf } from '../support/chat.ts';
import { startFileFleet, type FileFleet } from '../support/file-fleet.ts';
import { configured } from '../support/fleet-shape.ts';
import { eventually, startFleet, type Fleet } from '../support/fleet.ts';
import { scrape } from '../support/metrics.ts';

const RELOADS = 'vllm_router_config_reloads_total';
const SUCCESSFUL = 'vllm_router_config_last_reload_successful';

/** Everything that a reload might touch, as far as it can be looked at. */
async function stateOf(fleet: Fleet): Promise<object> {
  const admin = adminOf(fleet);
  const { runtime } = fleet.app;
  const shown = async (path: string): Promise<string> =>
    // Time goes by all the same.
    JSON.stringify((await admin('GET', path)).body).replaceAll(/"(since|uptime)_secs":[\d.]+/g, '');
  return {
    config: await shown('/admin/config'),
    workers: await shown('/workers'),
    stats: await shown('/admin/stats'),
    runtime,
    settings: runtime.settings,
    policy: runtime.policies.default,
  };
}

function changesOf(body: Parsed): Record<string, string> {
  return Object.fromEntries(body.changed.map(({ key, how }: Parsed) => [key, how]));
}

test('nothing has changed: nothing is done', async () => {
  await using fleet = await startFileFleet();
  const before = await stateOf(fleet);
  const { status, body } = await fleet.reload();
  assert.equal(status, 200);
  assert.deepEqual(body, {
    status: 'ok',
    reload: 'nothing has changed',
    workers_added: [],
    workers_drained: [],
    workers_updated: [],
    changed: [],
    notices: [],
  });
  const after = (await stateOf(fleet)) as { policy: unknown };
  assert.equal(after.policy, (before as { policy: unknown }).policy);
});

test('a dry run says what would change and changes nothing', async () => {
  await using fleet = await startFileFleet({}, { workers: [{}, {}] });
  const [first = ''] = fleet.urls;
  fleet.write({ worker_urls: [first, 'http://127.0.0.1:9'], policy: 'cache_aware', log_dir: './logs' });
  const before = await stateOf(fleet);
  const dry = await fleet.reload('?dry_run=1');
  assert.deepEqual([dry.status, dry.body.status], [200, 'dry_run']);
  assert.match(dry.body.reload, /^would change: /);
  assert.deepEqual(await stateOf(fleet), before);
  const metrics = await scrape(fleet);
  assert.equal(metrics.sum(RELOADS), 0);
  const real = await fleet.reload();
  assert.deepEqual(
    { ...real.body, status: '', reload: '' },
    { ...dry.body, status: '', reload: '' },
    'it tells the truth',
  );
  assert.deepEqual(real.body.workers_added, ['http://127.0.0.1:9']);
  assert.deepEqual(changesOf(real.body), {
    worker_urls: 'adopted',
    log_dir: 'restart_needed',
    policy: 'reset',
  });
  assert.equal((await fleet.reload('?dry_run=maybe')).status, 400);
});

test('a file that is not valid changes nothing and says why, with its line', async () => {
  await using fleet = await startFileFleet();
  await chat(fleet).then((response) => response.text());
  const before = await stateOf(fleet);
  for (const [text, at, message] of [
    ['worker_urls: [http://a:1]\nportt: 7\n', 'router.yaml:2:1', /unknown key; did you mean port/],
    ['worker_urls: [http://a:1]\nport: "x"\n', 'router.yaml:2:7', /expected an integer/],
    ['worker_urls: [http://a:1\n', 'router.yaml:2:1', /not valid YAML/],
    ['queue_size: 1\n', 'worker_urls', /no workers/],
  ] as const) {
    fleet.writeText(text);
    for (const query of ['?dry_run=1', '']) {
      const { status, body } = await fleet.reload(query);
      assert.deepEqual([status, body.code, body.problems[0].at], [400, 'RELOAD_REFUSED', at], text);
      assert.match(body.problems[0].message, message);
      assert.ok(body.error.includes(at));
    }
    assert.deepEqual(await stateOf(fleet), before, text);
  }
  const metrics = await scrape(fleet);
  assert.equal(metrics.value(RELOADS, { result: 'refused' }), 4);
  assert.equal(metrics.value(SUCCESSFUL), 0);
  fleet.write({});
  assert.equal((await fleet.reload()).status, 200);
  assert.equal((await scrape(fleet)).value(SUCCESSFUL), 1);
});

test('a file that cannot be read is an error of ours: 500', async () => {
  await using fleet = await startFileFleet();
  rmSync(fleet.file);
  const { status, body } = await fleet.reload();
  assert.deepEqual([status, body.code], [500, 'RELOAD_FAILED']);
  assert.match(body.error, /router\.yaml: cannot be read: there is no such file/);
  assert.equal((await scrape(fleet)).value(RELOADS, { result: 'failed' }), 1);
  assert.equal((await chat(fleet)).status, 200);
});

test('without a file there is nothing to reload: 400', async () => {
  await using fleet = await startFleet();
  const { status, body } = await adminOf(fleet)('POST', '/admin/reload');
  assert.deepEqual([status, body.code], [400, 'RELOAD_REFUSED']);
  assert.match(body.error, /started without a file/);
  assert.equal((await adminOf(fleet)('GET', '/admin/stats')).body.config.source, null);
});

test('what needs a restart is reported, not applied, and stays on record', async () => {
  await using fleet = await startFileFleet();
  fleet.write({ host: '127.0.0.9', max_header_size: 2048, queue_size: 7, intra_node_data_parallel_size: 2 });
  for (let round = 0; round < 2; round++) {
    const { body } = await fleet.reload();
    assert.deepEqual(changesOf(body), {
      intra_node_data_parallel_size: 'restart_needed',
      host: 'restart_needed',
      max_header_size: 'restart_needed',
      ...(round === 0 ? { queue_size: 'adopted' } : {}),
    });
  }
  const config = (await fleet.admin('GET', '/admin/config')).body;
  assert.deepEqual([config.host, config.max_header_size, config.queue_size], ['127.0.0.1', 32_768, 7]);
  assert.equal(fleet.app.runtime.registry.workers.length, 2);
  const stats = (await fleet.admin('GET', '/admin/stats')).body.config;
  assert.deepEqual(stats.waiting_for_restart, ['intra_node_data_parallel_size', 'host', 'max_header_size']);
  assert.equal(stats.source, 'router.yaml');
  fleet.write({ queue_size: 7 });
  await fleet.reload();
  assert.deepEqual((await fleet.admin('GET', '/admin/stats')).body.config.waiting_for_restart, []);
});

test('what is valid by itself but not beside what needs a restart is refused', async () => {
  await using fleet = await startFileFleet({ intra_node_data_parallel_size: 2 }, { workers: [{}] });
  const [url = ''] = fleet.urls;
  fleet.write({ worker_urls: [`${url}@0`] });
  const { status, body } = await fleet.reload();
  assert.equal(status, 400);
  assert.match(body.error, /without @rank.*beside what stays until a restart/);
});

test('workers of the API stay, whatever the file names, also those that both name', async () => {
  await using fleet = await startFileFleet(([a = '', b = '']) => ({ worker_urls: [a, b] }), {
    workers: [{}, {}, {}, {}],
  });
  const [a = '', b = '', c = '', d = ''] = fleet.urls;
  for (const url of [c, d]) {
    await fleet.admin('POST', '/workers', { url, priority: 7 });
    await settledWorker(fleet.admin, url);
  }
  // The file names c too, then neither b nor c.
  fleet.write({ worker_urls: [a, b, c] });
  const named = (await fleet.reload()).body;
  assert.deepEqual([named.workers_added, named.workers_updated], [[], []]);
  assert.equal((await fleet.admin('GET', `/workers/${c}`)).body.priority, 7);
  fleet.write({ worker_urls: [a] });
  const { body } = await fleet.reload();
  assert.deepEqual([body.workers_drained, body.workers_added], [[b], []]);
  await eventually(() => fleet.app.openJobs === 0);
  assert.deepEqual(fleet.app.runtime.registry.workers.map(({ id }) => id).sort(), [a, c, d].sort());
});

test('a worker of the file that was removed through the API is back after a reload', async () => {
  await using fleet = await startFileFleet({}, { workers: [{}, {}] });
  const [a = ''] = fleet.urls;
  await fleet.admin('DELETE', `/workers/${a}`);
  await eventually(() => fleet.app.runtime.registry.get(a) === undefined);
  const { body } = await fleet.reload();
  assert.deepEqual(body.workers_added, [a]);
  await eventually(() => fleet.app.runtime.registry.get(a)?.health.healthy === true);
});

test('the ranks of a server stay, and go together', async () => {
  await using fleet = await startFileFleet(
    { intra_node_data_parallel_size: 2 },
    { workers: [{ dataParallelSize: 2 }, { dataParallelSize: 2 }] },
  );
  const [a = '', b = ''] = fleet.urls;
  const { registry } = fleet.app.runtime;
  const slots = registry.workers.map(({ slot }) => slot);
  fleet.write({ intra_node_data_parallel_size: 2, queue_size: 3 });
  const same = (await fleet.reload()).body;
  assert.deepEqual([same.workers_added, same.workers_drained], [[], []]);
  assert.deepEqual(
    registry.workers.map(({ slot, draining }) => [slot, draining]),
    slots.map((slot) => [slot, false]),
  );
  fleet.write({ intra_node_data_parallel_size: 2, worker_urls: [b] });
  const { body } = await fleet.reload();
  assert.deepEqual(body.workers_drained, [a]);
  await eventually(() => registry.workers.length === 2);
  assert.deepEqual(
    registry.workers.map(({ id }) => id),
    [`${b}@0`, `${b}@1`],
  );
});

test('keys and traits of workers change where they stand', async () => {
  const key = 'a-new-key';
  await using fleet = await startFileFleet(([a = '']) => ({ worker_urls: [a] }), { workers: [{}, {}] });
  const [a = '', b = ''] = fleet.urls;
  await fleet.admin('POST', '/workers', { url: b });
  await settledWorker(fleet.admin, b);
  const worker = fleet.app.runtime.registry.get(a);
  await chat(fleet).then((response) => response.text());
  fleet.write({ worker_urls: [a], api_key: key });
  const { body } = await fleet.reload();
  assert.deepEqual(body.workers_updated.toSorted(), [a, b].toSorted());
  assert.deepEqual([body.workers_added, body.workers_drained], [[], []]);
  assert.ok(!JSON.stringify(body).includes(key));
  assert.equal(fleet.app.runtime.registry.get(a), worker);
  for (let i = 0; i < 4; i++) await chat(fleet).then((response) => response.text());
  const seen = fleet.workers.flatMap((one) => one.seen.filter(({ method }) => method === 'POST').slice(-1));
  assert.ok(seen.length > 0);
  for (const { headers } of seen) assert.equal(headers['authorization'], `Bearer ${key}`);

  const entry = { url: a, priority: 9, cost: 0.5, labels: { tier: 'x' } };
  fleet.write({ worker_urls: [], workers: [entry], api_key: key });
  const moved = (await fleet.reload()).body;
  assert.deepEqual([moved.workers_updated, moved.workers_added, moved.workers_drained], [[a], [], []]);
  const shown = (await fleet.admin('GET', `/workers/${a}`)).body;
  assert.deepEqual([shown.priority, shown.cost, shown.labels], [9, 0.5, { tier: 'x' }]);
  assert.equal(fleet.app.runtime.registry.get(a)?.slot, worker?.slot);
});

test('a policy that was switched to is undone, and the answer says so', async () => {
  await using fleet = await startFileFleet({ policy: 'round_robin' });
  await fleet.admin('PUT', '/admin/policy', { type: 'least_work' });
  const { body } = await fleet.reload();
  assert.deepEqual(changesOf(body), { policy: 'reset' });
  assert.match(body.changed[0].detail, /the configured policy is back: it had been switched to least_work/);
  assert.equal(fleet.app.runtime.policies.default.name, 'round_robin');
  assert.equal((await fleet.admin('GET', '/admin/config')).body.policy.type, 'round_robin');
});

test('sessions stay pinned by a policy that does not change, and begin anew with one that does', async () => {
  await using fleet = await startFileFleet({ policy: 'consistent_hash' }, { workers: [{}, {}, {}] });
  const policy = fleet.app.runtime.policies.default;
  fleet.write({ policy: 'consistent_hash', request_timeout_secs: 99 });
  await fleet.reload();
  assert.equal(fleet.app.runtime.policies.default, policy);
  fleet.write({ policy: { type: 'consistent_hash', virtual_nodes: 20 }, request_timeout_secs: 99 });
  const { body } = await fleet.reload();
  assert.match(body.changed[0].detail, /^virtual_nodes 160 -> 20; pinned sessions/);
  assert.notEqual(fleet.app.runtime.policies.default, policy);
});

test('the admin key changes from one request to the next, and nobody is told the old one or the new', async () => {
  const lines: string[] = [];
  const log: Log = {
    ...silentLog,
    info: (fields, message) => lines.push(JSON.stringify({ ...fields, message })),
  };
  await using fleet = await startFileFleet({ admin_api_key: 'old-key-1' }, { log }, 'old-key-1');
  fleet.write({ admin_api_key: 'new-key-2' });
  const { status, body } = await fleet.reload();
  assert.equal(status, 200);
  assert.equal((await fleet.reload()).status, 401);
  assert.equal((await adminOf(fleet, 'new-key-2')('POST', '/admin/reload')).status, 200);
  const audit = lines.filter((line) => line.includes('config.reload'));
  assert.equal(audit.length, 2);
  const [first = ''] = audit;
  assert.match(first, /"who":"admin_key"/);
  assert.match(first, /admin_api_key: applied/);
  for (const text of [JSON.stringify(body), ...lines]) assert.doesNotMatch(text, /old-key-1|new-key-2/);
});

test('reloads at once are carried out one after the other', async () => {
  await using fleet = await startFileFleet();
  fleet.write({ queue_size: 1 });
  const answers = await Promise.all(Array.from({ length: 10 }, () => fleet.reload()));
  assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]));
  assert.equal(answers.filter(({ body }) => body.changed.length > 0).length, 1);
});

test('a program hands in other options', async () => {
  await using fleet = await startFleet({ router: { queueSize: 5 } });
  const options = { ...configured(fleet), port: 0 };
  const outcome = await fleet.app.reload(
    { who: 'program', dryRun: false },
    configFromOptions({ ...options, queueSize: 9 }),
  );
  assert.equal(outcome.kind, 'done');
  assert.equal(fleet.app.runtime.settings.admission.queueSize, 9);
  const bad = await fleet.app.reload(
    { who: 'program', dryRun: false },
    configFromOptions({ ...options, queueSize: -1 }),
  );
  assert.deepEqual([bad.kind, fleet.app.runtime.settings.admission.queueSize], ['refused', 9]);
});

/** Each: the configuration before and after, and what can be seen of it from outside. */
const TAKES_EFFECT: Readonly<
  Record<string, { to: Parsed; see: (fleet: FileFleet) => Promise<unknown>; before: unknown; after: unknown }>
> = {
  max_payload_size: {
    to: { max_payload_size: 20 },
    see: async (fleet) => (await chat(fleet)).status,
    before: 200,
    after: 413,
  },
  expose_routing_headers: {
    to: { expose_routing_headers: false },
    see: async (fleet) => workerOf(await chat(fleet)) !== null,
    before: true,
    after: false,
  },
  unknown_model: {
    to: { unknown_model: 'reject' },
    see: async (fleet) => ((await (await chat(fleet, { model: 'nobody' })).json()) as Parsed).error.code,
    // The worker's own answer.
    before: 404,
    after: 'model_not_found',
  },
  proxy_operator_routes: {
    to: { proxy_operator_routes: true },
    see: async (fleet) => (await fetch(`${fleet.url}/server_info`)).status,
    before: 404,
    after: 200,
  },
  cors_allowed_origins: {
    to: { cors_allowed_origins: ['https://a.example'] },
    see: async (fleet) => {
      const response = await chat(fleet, {}, { headers: { origin: 'https://b.example' } });
      return response.headers.has('access-control-allow-origin');
    },
    before: true,
    after: false,
  },
  request_id_headers: {
    to: { request_id_headers: ['x-own-id'] },
    see: async (fleet) => {
      const response = await chat(fleet, {}, { headers: { 'x-own-id': 'mine' } });
      return response.headers.get('x-request-id') === 'mine';
    },
    before: false,
    after: true,
  },
  hash_key: {
    to: { hash_key: ['header:x-own'] },
    see: async (fleet) => {
      const explained = await fleet.admin('POST', '/admin/explain', {
        path: '/v1/chat/completions',
        body: CHAT,
        headers: { 'x-own': '1' },
        policy: 'consistent_hash',
      });
      return explained.body.hash_key_source;
    },
    before: 'prompt',
    after: 'header:x-own',
  },
  'decision_ring.max_records': {
    to: { decision_ring: { max_records: 1 } },
    see: async (fleet) => {
      for (let i = 0; i < 2; i++) await (await chat(fleet)).text();
      return (await fleet.admin('GET', '/admin/decisions')).body.decisions.length > 1;
    },
    before: true,
    after: false,
  },
  'health_check.endpoint': {
    to: { health_check: { endpoint: '/version', check_interval_secs: 0.02 } },
    see: async (fleet) => {
      const { seen } = fleet.workers[0]!;
      const looked = seen.length;
      if (fleet.app.runtime.settings.health.path === '/health') return 'unasked';
      await eventually(() => seen.length > looked + 3);
      return seen.slice(looked).some(({ url }) => url === '/health');
    },
    before: 'unasked',
    after: false,
  },
  load_check_interval_secs: {
    to: { load_check_interval_secs: 0.02 },
    see: async (fleet) => {
      const { seen } = fleet.workers[0]!;
      const polls = (): number => seen.filter(({ url }) => url === '/metrics').length;
      const before = polls();
      if (fleet.app.runtime.settings.loadCheckIntervalMs === 0) return false;
      await eventually(() => polls() > before);
      return true;
    },
    before: false,
    after: true,
  },
  'circuit_breaker.failure_threshold': {
    to: { circuit_breaker: { failure_threshold: 1 } },
    see: (fleet) => {
      const { registry, clock } = fleet.app.runtime;
      const { breaker } = registry.workers[0]!;
      breaker.permit(clock.now()).failure();
      return Promise.resolve(breaker.state(clock.now()));
    },
    before: 'closed',
    after: 'open',
  },
  'health_check.failure_threshold': {
    to: { health_check: { failure_threshold: 1, check_interval_secs: 2_000_000 } },
    see: (fleet) => {
      const { registry } = fleet.app.runtime;
      const worker = registry.workers[0]!;
      registry.reportCheck(worker, false, 'down');
      return Promise.resolve(worker.health.healthy);
    },
    before: true,
    after: false,
  },
  'cache_index.max_bytes': {
    to: { cache_index: { max_bytes: 1 << 17 } },
    see: async (fleet) => {
      const small = (): boolean => (fleet.app.runtime.cacheIndex?.bytes ?? Infinity) <= 1 << 17;
      if (fleet.app.runtime.settings.cacheIndex.maxBytes > 1 << 17) return small();
      await eventually(small);
      return true;
    },
    before: false,
    after: true,
  },
  max_inflight_body_bytes: {
    to: { max_inflight_body_bytes: 10 },
    see: async (fleet) => (await chat(fleet)).status,
    before: 200,
    after: 503,
  },
  max_concurrent_requests: {
    to: { max_concurrent_requests: 1, queue_size: 0 },
    see: async (fleet) => {
      const answers = await Promise.all(Array.from({ length: 6 }, () => chat(fleet, { max_tokens: 20 })));
      await Promise.all(answers.map((answer) => answer.arrayBuffer()));
      return answers.some(({ status }) => status === 429);
    },
    before: false,
    after: true,
  },
};

for (const [key, { to, see, before, after }] of Object.entries(TAKES_EFFECT)) {
  test(`takes effect while it runs: ${key}`, async () => {
    await using fleet = await startFileFleet({}, { workers: [{}] });
    assert.deepEqual(await see(fleet), before);
    fleet.write(to);
    const { body } = await fleet.reload();
    assert.ok(key in changesOf(body), JSON.stringify(body));
    assert.deepEqual(await see(fleet), after);
  });
}
