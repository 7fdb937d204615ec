/** What the doctor says of the router's own tokenizer, and of LMCache's controller. */
import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { startSimWorker } from '../../src/sim/server/server.ts';
import { examined, runDoctor } from '../support/doctor.ts';
import { startFleet } from '../support/fleet.ts';
import { startScriptedWorker, type Received, type ScriptedWorker } from '../support/scripted-worker.ts';
import { copyOfTokenizer, tokenizerFolder } from '../support/tokenizers.ts';
import { startTokenizingWorker } from '../support/tokenizing-worker.ts';

describe('the doctor and a tokenizer of the router', () => {
  it('finds that it is the worker’s, that its template is another, or that it cannot be read', async (t) => {
    await using worker = await startTokenizingWorker(tokenizerFolder('chatml'));
    const flags = ['--worker-urls', worker.url, '--tokenizer-path'];
    const same = await examined(...flags, tokenizerFolder('chatml'));
    assert.match(same.said('tokenizer'), /^ok: .* says what the worker says/);

    const other = copyOfTokenizer(t, 'chatml');
    writeFileSync(join(other, 'chat_template.jinja'), '{% for m in messages %}{{ m.content }}{% endfor %}');
    const differs = await examined(...flags, other);
    assert.equal(differs.code, 1);
    assert.match(differs.said('tokenizer'), /^fail: .* differs from the worker's: one message: token 0/);

    rmSync(join(other, 'tokenizer.json'));
    const unreadable = await examined(...flags, other);
    assert.match(unreadable.said('tokenizer'), /^fail: .* cannot be used: there is no tokenizer.json/);
  });

  it('is asked for only where one is configured', async () => {
    await using worker = await startTokenizingWorker(tokenizerFolder('chatml'));
    const { said } = await examined('--worker-urls', worker.url);
    assert.match(said('tokenizer'), /^skipped: none is configured/);
  });
});

describe('the doctor of a running router', () => {
  it('knows its tokenizer, its policy and its controller from the router', async (t) => {
    await using worker = await startTokenizingWorker(tokenizerFolder('chatml'));
    await using controller = await startController({}, () => ({}));
    const folder = copyOfTokenizer(t, 'chatml');
    await using fleet = await startFleet({
      ...{ workers: [], extraWorkerUrls: [worker.url], oneThread: 'its state is looked at' },
      router: {
        tokenizerPath: folder,
        lmcache: { controllerUrl: controller.url, controllerApiKey: 'secret' },
        policy: { type: 'lmcache_aware', lookupMode: 'occupancy' },
      },
    });
    const [own] = fleet.app.runtime.registry.workers;
    assert.ok(own);
    const here = await examined(fleet.url);
    assert.match(here.said('tokenizer'), new RegExp(`^ok: ${folder} says what the worker says`));
    assert.match(here.said('lmcache'), /^fail: none of the controller's instances is this worker/);
    rmSync(join(folder, 'tokenizer.json'));
    const away = await examined(fleet.url);
    assert.match(away.said('tokenizer'), /^skipped: .* of the router cannot be read here/);
    assert.equal(away.said('local_tokens'), 'ok: the router has proved it equal for sim-model');
    // What the command line says goes before it.
    const flags = await examined(fleet.url, '--tokenizer-path', tokenizerFolder('chatml'));
    assert.match(flags.said('tokenizer'), /^ok: .* says what the worker says/);
  });

  it('says so where the router tells nothing that is known here', async () => {
    await using worker = await startTokenizingWorker(tokenizerFolder('chatml'));
    await using router = await startScriptedWorker((response, { url }) =>
      response
        .writeHead(200)
        .end(JSON.stringify(url === '/workers' ? { workers: [{ id: worker.url }] } : { tokenizer_path: 7 })),
    );
    const { code, err } = await runDoctor(router.url);
    assert.equal(code, 1);
    assert.match(err, /what the router says of its configuration is not known here/);
  });
});

type Lookup = (ids: readonly number[]) => Readonly<Record<string, readonly [string, number]>>;

/** A controller with instances on these hosts, in the words of LMCache's. */
function startController(hosts: Readonly<Record<string, string>>, lookup: Lookup): Promise<ScriptedWorker> {
  const workers = Object.entries(hosts).map(([id, ip]) => ({
    instance_id: id,
    worker_id: 0,
    ip,
    port: 1,
    key_count: 0,
  }));
  const answerTo = ({ url, body }: Received): object | undefined => {
    if (url === '/controller/workers') return { workers };
    if (url !== '/lookup') return undefined;
    const { tokens } = JSON.parse(body.toString('utf8')) as { tokens: number[] };
    return { event_id: 'x', layout_info: lookup(tokens) };
  };
  return startScriptedWorker((response, request) => {
    const answer = answerTo(request);
    response
      .writeHead(answer ? 200 : 404, { 'content-type': 'application/json' })
      .end(JSON.stringify(answer ?? {}));
  });
}

describe('the doctor and LMCache', () => {
  const stores: Lookup = (ids) => ({ here: ['LocalCPUBackend', 256 * Math.floor(ids.length / 256)] });

  it('finds the worker’s instance, and the probe in it', async () => {
    const worker = await startSimWorker({ timeScale: 0 });
    await using controller = await startController({ here: '127.0.0.1' }, stores);
    const { code, said } = await examined(
      '--worker-urls',
      worker.url,
      '--lmcache-controller-url',
      controller.url,
    );
    assert.equal(said('lmcache'), 'ok: instance here stores 256 tokens of the probe');
    assert.equal(code, 0);
    const { said: without } = await examined('--worker-urls', worker.url);
    assert.equal(without('lmcache'), 'skipped: no controller of LMCache is configured');
    await worker.stop();
  });

  it('finds a controller that is not there, knows nobody here, or takes the probe for another’s', async () => {
    const worker = await startSimWorker({ timeScale: 0 });
    const flags = ['--worker-urls', worker.url, '--lmcache-controller-url'];
    const absent = await examined(...flags, 'http://127.0.0.1:1');
    assert.equal(absent.code, 1);
    assert.match(absent.said('lmcache'), /^fail: the controller at http:\/\/127\.0\.0\.1:1 /);
    {
      await using controller = await startController({ far: '10.1.2.3' }, stores);
      const { said } = await examined(...flags, controller.url);
      assert.equal(said('lmcache'), "fail: none of the controller's instances is this worker: it knows far");
    }
    await using controller = await startController({ here: '127.0.0.1' }, (ids) => ({
      elsewhere: ['LocalCPUBackend', ids.length],
    }));
    const { said } = await examined(...flags, controller.url);
    assert.match(
      said('lmcache'),
      /^fail: the probe is stored by elsewhere, which is not taken for this worker/,
    );
    await worker.stop();
  });

  it('survives a controller that answers with something else', async () => {
    const worker = await startSimWorker({ timeScale: 0 });
    await using controller = await startScriptedWorker((response) => response.writeHead(200).end('[{]'));
    const { said } = await examined('--worker-urls', worker.url, '--lmcache-controller-url', controller.url);
    assert.match(
      said('lmcache'),
      /^fail: the controller at .* answered \/controller\/workers with something else/,
    );
    await worker.stop();
  });
});
