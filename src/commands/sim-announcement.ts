import type { SimLmcache } from '../sim/lmcache/lmcache-server.ts';
import type { SimOptions } from '../sim/server/options.ts';
import type { SimWorker } from '../sim/server/server.ts';

/** What `vllm-router sim` says when its workers run: where, and how a router is told of them. */
export function announcement(
  fleet: readonly SimWorker[],
  options: SimOptions,
  lmcache: SimLmcache | undefined,
): string {
  const models = (options.models ?? ['sim-model']).join(', ');
  const lines = [
    `${fleet.length} simulated vLLM worker${fleet.length === 1 ? '' : 's'} (model ${models}, time scale ${options.timeScale ?? 1})`,
    ...fleet.map((worker) => `  ${worker.url}${transferNote(worker)}${eventsNote(worker.kvEvents)}`),
    `Route to them: vllm-router ${routingFlags(fleet).join(' ')}`,
    ...workerEntries(fleet),
    ...(lmcache ? lmcacheNote(lmcache) : []),
    'Stop with Ctrl-C.',
  ];
  return `${lines.join('\n')}\n`;
}

function routingFlags(fleet: readonly SimWorker[]): readonly string[] {
  const [first] = fleet;
  const urls = fleet.map(({ url }) => url);
  const { role, connector, registersItself } = first?.kvTransfer ?? {};
  if (role === undefined || role === 'both') return ['--worker-urls', ...urls];
  if (registersItself === true)
    return [
      '--vllm-pd-disaggregation --kv-connector',
      String(connector),
      '--vllm-discovery-address HOST:PORT',
    ];
  const mode = connector === 'sglang' ? '--pd-disaggregation' : '--vllm-pd-disaggregation';
  const flags = [
    mode,
    ...(connector === 'nixl' || connector === 'sglang' ? [] : [`--kv-connector ${connector}`]),
  ];
  const other = role === 'decode' ? '--prefill ...' : '--decode ...';
  if (entryOf(first) !== undefined) return [...flags, '--config-file FILE', other];
  if (role === 'decode') return [...flags, other, ...urls.map((url) => `--decode ${url}`)];
  return [
    ...flags,
    ...fleet.map((worker) => `--prefill ${worker.url}${bootstrapPort(worker)}`),
    ...ranksNote(first),
    other,
  ];
}

/** Mooncake has an engine for each rank, and the router names one of them. */
function ranksNote(worker: SimWorker | undefined): string[] {
  const { connector, engineIds = [] } = worker?.kvTransfer ?? {};
  const isNamed = connector === 'mooncake' && engineIds.length > 1;
  return isNamed ? [`--prefill-data-parallel-size ${engineIds.length}`] : [];
}

/** Where the router has to know more of the workers than flags can say. */
function workerEntries(fleet: readonly SimWorker[]): string[] {
  const entries = fleet.flatMap((worker) => entryOf(worker) ?? []);
  if (entries.length === 0) return [];
  return [
    "For the router's file (--config-file):",
    '  workers:',
    ...entries.map((entry) => `    - ${entry}`),
  ];
}

function entryOf(worker: SimWorker | undefined): string | undefined {
  if (!worker?.kvTransfer) return undefined;
  const { url, host, kvTransfer } = worker;
  const { connector, role, port, engineIds } = kvTransfer;
  if (connector === 'nixl-push' && role === 'prefill')
    return `{url: ${url}, worker_type: prefill, kv_transfer: {engine_id: ${engineIds[0] ?? ''}, host: ${host}, port: ${port}}}`;
  if (connector === 'lmcache' && role === 'decode')
    return `{url: ${url}, worker_type: decode, kv_transfer: {receiver: {host: ${host}, init_ports: [${port}], alloc_ports: [${port}]}}}`;
  return undefined;
}

function bootstrapPort({ kvTransfer }: SimWorker): string {
  const { connector, port } = kvTransfer ?? {};
  return connector === 'mooncake' || connector === 'sglang' ? ` ${port}` : '';
}

/** What it does with KV cache, and what a router may have to be told of it. */
function transferNote({ kvTransfer }: SimWorker): string {
  if (!kvTransfer) return '';
  const { role, connector, port, engineIds } = kvTransfer;
  const what = role === 'both' ? 'prefill and decode' : role;
  const ids = connector === 'nixl-push' && role !== 'decode' ? `, engine ${engineIds.join(', ')}` : '';
  return `, ${what} over ${connector} (port ${port}${ids})`;
}

/** All workers are on one host here, so that the router has to be told which instance is whose. */
function lmcacheNote({ url, workerMap }: SimLmcache): string[] {
  const entries = Object.entries(workerMap).map(([id, worker]) => `    ${id}: ${worker}`);
  return [
    `LMCache's controller: ${url}. For the router's file (--config-file):`,
    ...['lmcache:', `  controller_url: ${url}`, '  worker_map:', ...entries].map((line) => `  ${line}`),
  ];
}

/** Where the ranks of a worker publish what their caches hold. */
function eventsNote(ports: SimWorker['kvEvents']): string {
  const at = ports.map(({ port, replayPort }) =>
    replayPort === undefined ? port : `${port} (replay ${replayPort})`,
  );
  return at.length === 0 ? '' : `, cache events at port ${at.join(', ')}`;
}
