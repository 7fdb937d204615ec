const EXACT: ReadonlySet<string> = new Set([
  '/workers',
  '/admin',
  '/add_worker',
  '/remove_worker',
  '/list_workers',
  '/flush_cache',
  '/get_loads',
]);

/** Whether a normalised path is the router's own, for operators: it is never proxied to a worker. */
export function isOwnPath(path: string): boolean {
  return EXACT.has(path) || path.startsWith('/workers/') || path.startsWith('/admin/');
}
