const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  ENOTDIR: 'a part of the path is no directory',
  EISDIR: 'it is a directory',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EROFS: 'the file system is read-only',
  ENOSPC: 'the disk is full',
  EMFILE: 'this process has as many files open as it may',
  ENFILE: 'the machine has as many files open as it may',
  EADDRINUSE: 'the port is taken',
  EADDRNOTAVAIL: 'this machine has no such address',
  ENOTFOUND: 'the host name is not known',
  EAI_AGAIN: 'the host name cannot be looked up at the moment',
};

/** Why the operating system refused, without the path or address; its code where there are no words for it. */
export function systemReason(cause: unknown): string {
  const code = systemCode(cause) ?? 'unknown error';
  return REASONS[code] ?? code;
}

/** The same for a file that was to be written: it need not be there, but its directory must. */
export function writeReason(cause: unknown): string {
  return systemCode(cause) === 'ENOENT' ? 'there is no such directory' : systemReason(cause);
}

export function systemCode(cause: unknown): string | undefined {
  return cause instanceof Error && 'code' in cause ? String(cause.code) : undefined;
}
