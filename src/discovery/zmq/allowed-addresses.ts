import { BlockList, isIPv6 } from 'node:net';
import type { IpAddress } from './ip-address.ts';

/** Why the router, and workers by its word, are not to connect there. */
export type AddressProblem =
  | 'low_port'
  /** Link-local, which is where clouds keep credentials; multicast, unspecified, or an IPv4 address within an IPv6 one. */
  | 'special_address'
  /** The router itself, which would send requests to itself. */
  | 'own_address'
  | 'not_allowed';

/** One of this machine's addresses, as `os.networkInterfaces()` gives them. */
export interface InterfaceAddress {
  readonly address: string;
  readonly cidr: string | null;
}

const LOOPBACK = ['127.0.0.0/8', '::1/128'];
/** Apart: in one list the networks of mapped addresses would hold every IPv4 address. */
const SPECIAL = {
  ipv4: networks(['0.0.0.0/8', '169.254.0.0/16', '224.0.0.0/4', '240.0.0.0/4']),
  ipv6: networks(['::/128', '::ffff:0:0/96', '64:ff9b::/96', '2002::/16', 'fe80::/10', 'ff00::/8']),
} as const;
const FIRST_PORT = 1024;

/**
 * Bounds whither self-registered workers may point. Anybody who can reach the router's port can say an address: it must not become a
 * way to have the router call what only the router can reach.
 */
export class AllowedAddresses {
  readonly #allowed: BlockList;
  readonly #own: BlockList;
  readonly #ownPorts: ReadonlySet<number>;

  /**
   * @param allow Networks as CIDR; where there are none, this machine's own.
   * @param ownPorts Where the router listens.
   */
  constructor(
    allow: readonly string[],
    interfaces: readonly InterfaceAddress[],
    ownPorts: readonly number[],
  ) {
    const own = interfaces.flatMap(({ cidr }) => (cidr === null ? [] : [cidr]));
    this.#allowed = networks(allow.length > 0 ? allow : [...LOOPBACK, ...own]);
    this.#own = networks([...LOOPBACK, ...interfaces.map(({ address }) => wholeAddress(address))]);
    this.#ownPorts = new Set(ownPorts);
  }

  /** Undefined: it may be used. */
  problemOf({ ip, port }: IpAddress): AddressProblem | undefined {
    const family = isIPv6(ip) ? 'ipv6' : 'ipv4';
    if (port < FIRST_PORT) return 'low_port';
    if (SPECIAL[family].check(ip, family)) return 'special_address';
    if (this.#ownPorts.has(port) && this.#own.check(ip, family)) return 'own_address';
    return this.#allowed.check(ip, family) ? undefined : 'not_allowed';
  }
}

function networks(cidrs: readonly string[]): BlockList {
  const list = new BlockList();
  for (const cidr of cidrs) {
    const [network = '', prefix] = cidr.split('/');
    list.addSubnet(network, Number(prefix), isIPv6(network) ? 'ipv6' : 'ipv4');
  }
  return list;
}

function wholeAddress(address: string): string {
  return isIPv6(address) ? `${address}/128` : `${address}/32`;
}
