/** What a worker has to pass before it becomes a candidate: a probe, or the doctor as well. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startSimWorker } from '../../src/sim/server/server.ts';
import { adminOf, settledWorker } from '../support/admin.ts';
import { chat, workerOf } from '../support/chat.ts';
import { startFleet } from '../support/fleet.ts';

test('a registration may ask for the doctor, whose findings are the error of its job', async () => {
  const sick = await startSimWorker({ timeScale: 0, model: { prefixCaching: false } });
  await using fleet = await startFleet({ workers: [] });
  const admin = adminOf(fleet);
  const asked = await admin('POST', '/workers', { url: sick.url, admission: 'doctor' });
  assert.equal(asked.status, 202);
  const { job } = (await settledWorker(admin, sick.url)).body;
  assert.equal(job.status, 'failed');
  assert.match(
    job.reason,
    /^the doctor does not admit it: cache: .*prefix caching is off.*--no-enable-prefix-caching/,
  );
  assert.equal((await chat(fleet)).status, 503);

  const probed = await admin('POST', '/workers', { url: sick.url });
  assert.equal(probed.status, 202);
  assert.equal((await settledWorker(admin, sick.url)).body.is_healthy, true);
  assert.equal(workerOf(await chat(fleet)), sick.url);
  await sick.stop();
});

test('the configuration may have the doctor look at every worker that comes', async () => {
  const [sick, well] = await Promise.all([
    startSimWorker({ timeScale: 0, model: { prefixCaching: false } }),
    startSimWorker({ timeScale: 0, promptTokensDetails: false }),
  ]);
  await using fleet = await startFleet({ workers: [], router: { admission: 'doctor' } });
  const admin = adminOf(fleet);
  for (const { url } of [sick, well]) await admin('POST', '/workers', { url });
  assert.equal((await settledWorker(admin, sick.url)).body.job.status, 'failed');
  await settledWorker(admin, well.url);
  const { body } = await admin('GET', '/workers');
  assert.deepEqual(
    body.workers.map(({ url }: { url: string }) => url),
    [well.url],
  );
  await sick.stop();
  await well.stop();
});

test('an admission that is not known is refused', async () => {
  await using fleet = await startFleet({ workers: [] });
  const { status, body } = await adminOf(fleet)('POST', '/workers', {
    url: 'http://127.0.0.1:1',
    admission: 'surgeon',
  });
  assert.equal(status, 400);
  assert.match(JSON.stringify(body), /admission/);
});
