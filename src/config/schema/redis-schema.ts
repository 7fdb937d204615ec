import * as z from 'zod';
import { count, key, milliseconds, text, type Group } from './field.ts';
import { parseHostAndPort, parseRedisUrl, REDIS_URL_FORMS } from './redis-url.ts';
import { serverName } from './tls-schema.ts';

const MOST_NODES = 64;

/** The message quotes nothing: a URL may hold a password. */
const url = () =>
  z.string().refine((value) => parseRedisUrl(value) !== undefined, `expected ${REDIS_URL_FORMS}`);

const address = () =>
  z.string().refine((value) => parseHostAndPort(value) !== undefined, 'expected host:port of a server');

const addresses = () =>
  z
    .array(address())
    .min(1)
    .refine((list) => list.length <= MOST_NODES, `expected at most ${MOST_NODES} addresses`);

const tls = z.strictObject({
  ca_file: text().optional().meta({ description: 'Authorities in PEM, in place of those of the system.' }),
  cert_file: text().optional().meta({ description: 'Certificate in PEM that the router presents.' }),
  key_file: text().optional().meta({ description: 'Private key of cert_file in PEM.' }),
  server_name: serverName().meta({
    description: 'Name that the certificate must have, in place of the host.',
  }),
  insecure_skip_verify: z.boolean().default(false).meta({
    description: 'Takes any certificate. The connection is encrypted, but perhaps with somebody else.',
  }),
});

const described = <S extends z.ZodType>(schema: S, description: string): S => schema.meta({ description });

const secret = <S extends z.ZodType>(schema: S, group: Group, about: string): S =>
  key(schema, { group, about, secret: true });

/**
 * One server of Redis or Valkey, a Sentinel group or a Cluster. What is left out is as in the section that this one falls back
 * to, and else as `redis-settings.ts` says.
 */
export function redisSection(group: Group, about: string) {
  const section = z.strictObject({
    url: key(url().optional(), { group, about: 'One server.', credentials: true }),
    nodes: described(addresses().optional(), 'host:port of nodes of a Cluster, in place of url.'),
    sentinels: described(addresses().optional(), 'host:port of Sentinels, in place of url.'),
    sentinel_name: described(text().optional(), 'The group that the Sentinels watch.'),
    sentinel_username: described(text().optional(), 'Who the router is for the Sentinels.'),
    sentinel_password: secret(text().optional(), group, 'And its password there.'),
    username: described(text().optional(), 'ACL user; goes before the one in url.'),
    password: secret(text().optional(), group, 'Password; goes before the one in url.'),
    database: described(count(0).max(9999).optional(), 'Database, with sentinels.'),
    tls: described(tls.optional(), 'Certificates; with nodes or sentinels it also says that TLS is spoken.'),
    key_prefix: described(z.string().max(256).optional(), 'In front of all keys.'),
    pool_size: described(count(1).max(256).optional(), 'Most connections of each thread.'),
    connection_timeout_ms: described(milliseconds().optional(), 'Longest wait for a connection.'),
    command_timeout_ms: described(milliseconds().optional(), 'Longest wait for an answer.'),
  });
  return key(section.optional(), { group, about, flags: [], env: false, defaultText: 'none' });
}

export type RedisConfig = NonNullable<z.output<ReturnType<typeof redisSection>>>;
