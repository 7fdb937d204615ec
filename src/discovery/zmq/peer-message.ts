import { BadMsgpack, MsgpackCursor, Words } from '../../base/msgpack-cursor.ts';
import type { PdStage } from '../../config/settings/settings.ts';
import { ipAddress, readIpAddress, type IpAddress } from './ip-address.ts';

/** What a worker says of itself, every three seconds. */
export interface PeerMessage {
  readonly role: PdStage;
  /** Where it takes requests. */
  readonly http: IpAddress;
  /** As its connector reads it from the ids of requests. */
  readonly zmqAddress: string;
  /** Whither that would have other workers connect. */
  readonly zmq: readonly IpAddress[];
  readonly transferMode: 'READ' | 'WRITE' | undefined;
  /** Ranks of data and of tensor parallelism. */
  readonly dpSize: number | undefined;
  readonly tpSize: number | undefined;
}

/** Why a message is none. */
export type MessageProblem = 'malformed' | 'unknown_type' | 'bad_address';

const FIELDS = [
  'type',
  'role',
  'http_address',
  'request_address',
  'zmq_address',
  'transfer_mode',
  'dp_size',
  'tp_size',
  'handshake_port',
  'notify_port',
] as const;
type Field = (typeof FIELDS)[number];
const FIELD_WORDS = new Words(FIELDS);
type Fields = Partial<Record<Field, string | number>>;

const ROLES: ReadonlyMap<unknown, PdStage> = new Map([
  ['P', 'prefill'],
  ['D', 'decode'],
]);
/** In the message of older MoRI-IO workers, which say `role` beside it. */
const OLDER_TYPES: readonly unknown[] = ['register', 'HELLO'];
const MOST_RANKS = 4096;
const LONGEST_TEXT = 256;

/**
 * Reads a message in msgpack: of P2P-NCCL (`type` P or D, `http_address`, `zmq_address`), of MoRI-IO (the same, with
 * `transfer_mode`, `dp_size` and `tp_size`), and of older MoRI-IO (`type` register or HELLO, `role`, `request_address` as a URL,
 * `handshake_port`, `notify_port`). Other fields are passed over.
 */
export function readPeerMessage(bytes: Buffer): PeerMessage | { readonly problem: MessageProblem } {
  const fields = readFields(bytes);
  if (!fields) return { problem: 'malformed' };
  const { type, transfer_mode: mode, dp_size: dp, tp_size: tp } = fields;
  const role = ROLES.get(OLDER_TYPES.includes(type) ? fields.role : type);
  if (role === undefined) return { problem: 'unknown_type' };
  const isMode = mode === undefined || mode === 'READ' || mode === 'WRITE';
  if (!isMode || !isRanks(dp) || !isRanks(tp)) return { problem: 'malformed' };
  const http = httpAddress(fields);
  const zmq = http && zmqAddresses(fields, http);
  if (!zmq) return { problem: 'bad_address' };
  return { role, http, ...zmq, transferMode: mode, dpSize: dp, tpSize: tp };
}

/** Undefined where it is no map, or a field is neither text nor number. */
function readFields(bytes: Buffer): Fields | undefined {
  const cursor = new MsgpackCursor(bytes);
  const fields: Fields = {};
  try {
    for (let left = cursor.readMap(); left > 0; left -= 1) {
      const field = FIELDS[cursor.readWord(FIELD_WORDS)];
      if (field === undefined) cursor.skip();
      else if (!cursor.takeNil()) fields[field] = cursor.isText ? cursor.readText() : cursor.readNumber();
    }
  } catch (error) {
    if (error instanceof BadMsgpack) return undefined;
    throw error;
  }
  const isShort = Object.values(fields).every((value) => String(value).length <= LONGEST_TEXT);
  return cursor.done && isShort ? fields : undefined;
}

function isRanks(value: string | number | undefined): value is number | undefined {
  return (
    value === undefined || (Number.isInteger(value) && Number(value) >= 1 && Number(value) <= MOST_RANKS)
  );
}

function httpAddress({ http_address: plain, request_address: url }: Fields): IpAddress | undefined {
  if (typeof plain === 'string') return readIpAddress(plain);
  const [, address = ''] = /^http:\/\/([^/?#@]+)(?:[/?#]|$)/.exec(String(url)) ?? [];
  return readIpAddress(address);
}

function zmqAddresses(
  { zmq_address: text, handshake_port: handshake, notify_port: notify }: Fields,
  { ip }: IpAddress,
): Pick<PeerMessage, 'zmqAddress' | 'zmq'> | undefined {
  if (typeof text !== 'string') return portsAt(ip, String(handshake), String(notify));
  const address = readIpAddress(text);
  if (address) return { zmqAddress: text, zmq: [address] };
  const parts = new Map(
    text.split(',').map((part) => {
      const at = part.indexOf(':');
      return [part.slice(0, Math.max(0, at)).trim(), part.slice(at + 1).trim()];
    }),
  );
  return portsAt(parts.get('host') ?? '', parts.get('handshake') ?? '', parts.get('notify') ?? '');
}

/** The address of MoRI-IO, in the one spelling that goes into ids of requests. */
function portsAt(
  ip: string,
  handshake: string,
  notify: string,
): Pick<PeerMessage, 'zmqAddress' | 'zmq'> | undefined {
  const [first, second] = [ipAddress(ip, handshake), ipAddress(ip, notify)];
  if (!first || !second) return undefined;
  return { zmqAddress: `host:${ip},handshake:${first.port},notify:${second.port}`, zmq: [first, second] };
}
