/**
 * The baseline that the router's own costs are compared with: the least that a proxy on Node can do and still read the
 * body. node:http in, undici's `Pool.dispatch` out, `JSON.parse` of the body, workers in turn, back-pressure, abort.
 * No routing, no retries, no metrics, no log.
 *
 * node bench/bare-proxy.mjs --worker-urls http://127.0.0.1:8000 ... ; prints `listening PORT`.
 */
import { createServer } from 'node:http';
import { Pool } from 'undici';

const urls = process.argv.slice(process.argv.indexOf('--worker-urls') + 1);
const pools = urls.map(
  (url) => new Pool(url, { connections: null, pipelining: 1, headersTimeout: 0, bodyTimeout: 0 }),
);
const DROPPED = new Set([
  'host',
  'connection',
  'keep-alive',
  'transfer-encoding',
  'content-length',
  'upgrade',
  'te',
  'expect',
]);
let next = 0;

const server = createServer({ keepAliveTimeout: 75_000, requestTimeout: 0 }, (req, res) => {
  const chunks = [];
  req.on('data', (chunk) => chunks.push(chunk));
  req.on('end', () => {
    const body = chunks.length === 1 ? chunks[0] : Buffer.concat(chunks);
    if (body.length > 0) JSON.parse(body.toString('utf8'));
    forward(req, res, body);
  });
});

function forward(req, res, body) {
  const pool = pools[next++ % pools.length];
  let control;
  res.on('close', () => {
    if (!res.writableFinished) control?.abort(new Error('the client left'));
  });
  res.on('drain', () => control?.resume());
  pool.dispatch(
    { method: req.method, path: req.url, headers: kept(req.rawHeaders), body: body.length > 0 ? body : null },
    {
      onRequestStart(controller) {
        control = controller;
      },
      onResponseStart(controller, status) {
        res.writeHead(status, kept(controller.rawHeaders.map(String)));
      },
      onResponseData(controller, chunk) {
        if (!res.write(chunk)) controller.pause();
      },
      onResponseEnd() {
        res.end();
      },
      onResponseError() {
        if (res.headersSent) res.destroy();
        else res.writeHead(502).end();
      },
    },
  );
}

function kept(headers) {
  const list = [];
  for (let i = 0; i < headers.length; i += 2) {
    if (!DROPPED.has(headers[i].toLowerCase())) list.push(headers[i], headers[i + 1]);
  }
  return list;
}

server.listen({ host: '127.0.0.1', port: 0, backlog: 4096 }, () => {
  process.stdout.write(`listening ${server.address().port}\n`);
});
process.on('SIGTERM', () => process.exit(0));
