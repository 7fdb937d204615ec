/** `kv@host:port@model`, as publishers name themselves that connect to a router. */
const TOPIC = /^kv@(.+:\d+)@(.+)$/;
const LONGEST_BYTES = 1024;

/** Undefined where the topic is of another form. */
function read(topic: Buffer): RegExpExecArray | undefined {
  // Most topics are of another form, and short: they are not made into text.
  if (topic[0] !== 0x6b || topic[1] !== 0x76 || topic[2] !== 0x40 || topic.length > LONGEST_BYTES)
    return undefined;
  return TOPIC.exec(topic.toString('utf8')) ?? undefined;
}

/** `host:port` of the worker that the topic is about; without brackets where the host is an address of IPv6. */
export function addressOfTopic(topic: Buffer): string | undefined {
  return read(topic)?.[1]?.replace(/^\[|\](?=:\d+$)/g, '');
}

export function modelOfTopic(topic: Buffer): string | undefined {
  return read(topic)?.[2];
}
