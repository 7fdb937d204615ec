import { isIP, isIPv6 } from 'node:net';

/** Where something listens: an IP address, never a name, which could come to mean another machine. */
export interface IpAddress {
  /** Without brackets. */
  readonly ip: string;
  readonly port: number;
}

/** `1.2.3.4:5`, `[::1]:5`, and `::1:5` as vLLM writes it; undefined where it is none of them. */
export function readIpAddress(text: string): IpAddress | undefined {
  const at = text.lastIndexOf(':');
  const host = text.slice(0, Math.max(0, at));
  const ip = host.startsWith('[') && host.endsWith(']') ? host.slice(1, -1) : host;
  const isBracketed = ip !== host;
  return ipAddress(ip, text.slice(at + 1), isBracketed);
}

/** @param port as digits. */
export function ipAddress(ip: string, port: string, isV6 = false): IpAddress | undefined {
  // A zone (fe80::1%eth0) means something on the machine that says it alone.
  if (isIP(ip) === 0 || ip.includes('%') || (isV6 && !isIPv6(ip))) return undefined;
  const number = /^[1-9]\d{0,4}$/.test(port) ? Number(port) : Infinity;
  return number <= 65_535 ? { ip, port: number } : undefined;
}

/** The base URL of a server there, in the one spelling that it has. */
export function httpUrl({ ip, port }: IpAddress): string {
  return new URL(`http://${isIPv6(ip) ? `[${ip}]` : ip}:${port}`).origin;
}
