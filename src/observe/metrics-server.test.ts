import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterEach, describe, it } from 'node:test';
import { VirtualClock } from '../base/virtual-clock.ts';
import { silentLog } from './log.ts';
import { createMetrics, type Metrics } from './metrics.ts';
import { MetricsServer } from './metrics-server.ts';

const running: MetricsServer[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((server) => server.stop()));
});

async function serve(
  metrics: Metrics,
  clock = new VirtualClock(),
): Promise<{ server: MetricsServer; port: number; clock: VirtualClock }> {
  const server = new MetricsServer({ metrics, log: silentLog, host: '127.0.0.1', port: 0, clock });
  running.push(server);
  return { server, port: await server.start(), clock };
}

async function ask(
  port: number,
  path: string,
  method = 'GET',
): Promise<{ head: IncomingMessage; body: string }> {
  const request = httpRequest({ host: '127.0.0.1', port, path, method, agent: false }).end();
  const [head] = (await once(request, 'response')) as [IncomingMessage];
  return { head, body: await text(head) };
}

describe('metrics server', () => {
  it('serves the exposition at /metrics and at /', async () => {
    const metrics = createMetrics();
    metrics.requestsTotal.with('/x').inc(3);
    const { port } = await serve(metrics);
    for (const path of ['/metrics', '/', '/metrics?name=x']) {
      const { head, body } = await ask(port, path);
      assert.equal(head.statusCode, 200);
      assert.equal(head.headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8');
      assert.ok(body.includes('\nvllm_router_requests_total{route="/x"} 3\n'));
    }
  });

  it('feeds the process series while it runs', async () => {
    const metrics = createMetrics();
    const { server, port } = await serve(metrics);
    const { body } = await ask(port, '/metrics');
    const value = (name: string): number => Number(new RegExp(`^${name} (.*)$`, 'm').exec(body)?.[1]);
    assert.ok(value('process_cpu_seconds_total') > 0);
    assert.ok(value('process_resident_memory_bytes') > 10e6);
    assert.ok(value('process_heap_bytes') > 1e6);
    assert.ok(value('process_start_time_seconds') > 1e9);
    assert.ok(value('nodejs_eventloop_lag_p99_seconds') >= 0);
    assert.equal(
      value('vllm_router_thread_event_loop_lag_seconds\\{thread="1"\\}'),
      value('nodejs_eventloop_lag_p99_seconds'),
    );
    await server.stop();
    assert.equal(metrics.processCpuSecondsTotal.collectors.length, 0);
  });

  it('answers HEAD without a body, other methods with 405, other paths with 404', async () => {
    const { port } = await serve(createMetrics());
    const head = await ask(port, '/metrics', 'HEAD');
    assert.deepEqual([head.head.statusCode, head.body], [200, '']);
    const post = await ask(port, '/metrics', 'POST');
    assert.deepEqual([post.head.statusCode, post.head.headers.allow], [405, 'GET, HEAD']);
    assert.equal((await ask(port, '/workers')).head.statusCode, 404);
  });

  it('rejects when the port is taken, and can be started again when it is free', async () => {
    const { server, port } = await serve(createMetrics());
    const second = new MetricsServer({ metrics: createMetrics(), log: silentLog, host: '127.0.0.1', port });
    running.push(second);
    await assert.rejects(second.start(), /EADDRINUSE/);
    await server.stop();
    assert.equal(await second.start(), port);
  });

  it('lets a scrape end that is under way when it stops', { timeout: 5000 }, async () => {
    const metrics = large();
    const { server, port } = await serve(metrics);
    const request = httpRequest({ host: '127.0.0.1', port, path: '/metrics', agent: false }).end();
    const [head] = (await once(request, 'response')) as [IncomingMessage];
    const stopped = server.stop();
    const body = await text(head);
    await stopped;
    assert.ok(head.complete);
    assert.ok(body.endsWith('\n'));
    await assert.rejects(ask(port, '/metrics'), /ECONNREFUSED/);
  });

  it('stops although a scraper has stopped reading', { timeout: 5000 }, async () => {
    const metrics = large();
    const { server, port, clock } = await serve(metrics);
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write('GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n');
    await once(socket, 'readable');
    const stopped = server.stop();
    clock.advance(1000);
    await stopped;
    socket.destroy();
  });

  it('makes no more text than the scraper takes, and stops when it leaves', { timeout: 5000 }, async () => {
    const metrics = createMetrics();
    let made = 0;
    const left = new Promise<void>((resolve) => {
      metrics.registry.expose = async function* nearlyEndless() {
        try {
          while (made < 5000) {
            made++;
            yield '#'.repeat(262_144) + '\n';
            await turn();
          }
        } finally {
          resolve();
        }
      };
    });
    const { port } = await serve(metrics);
    const request = httpRequest({ host: '127.0.0.1', port, path: '/metrics', agent: false }).end();
    request.on('error', () => undefined);
    const [head] = (await once(request, 'response')) as [IncomingMessage];
    head.on('error', () => undefined);
    for (let i = 0; i < 1000; i++) await turn();
    assert.ok(made < 200, `${made} pieces made for a scraper that reads none`);
    head.destroy();
    await left;
    assert.ok(made < 5000, 'the text ended because the scraper left');
  });
});

/** More text than the sockets between can hold. */
function large(): Metrics {
  const metrics = createMetrics();
  const long = 'w'.repeat(400);
  for (let i = 0; i < 1500; i++) metrics.workerRequestDurationSeconds.with('', `${long}${i}`).observe(1);
  return metrics;
}

function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
