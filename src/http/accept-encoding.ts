import type { FlatHeaders } from './headers.ts';

const WEIGHT = /^q=(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)$/i;

/** Whether the sender of these headers takes a body encoded like this (RFC 9110 12.5.3). `coding` in lower case. */
export function acceptsCoding(headers: FlatHeaders, coding: string): boolean {
  let isThere = false;
  let rest: boolean | undefined;
  for (let at = 0; at + 1 < headers.length; at += 2) {
    if (headers[at]?.length !== 15 || headers[at]?.toLowerCase() !== 'accept-encoding') continue;
    isThere = true;
    for (const entry of (headers[at + 1] ?? '').split(',')) {
      const [name = '', ...parameters] = entry.split(';').map((part) => part.trim());
      const lower = name.toLowerCase();
      if (plainName(lower) === plainName(coding)) return parameters.every(isTaken);
      if (lower === '*') rest = parameters.every(isTaken);
    }
  }
  // Who does not say what it takes, takes what the worker sends.
  return rest ?? !isThere;
}

function plainName(coding: string): string {
  return coding === 'x-gzip' ? 'gzip' : coding;
}

/** A weight of nothing forbids, and so does one that is none: what was meant is not known then. */
function isTaken(parameter: string): boolean {
  return WEIGHT.test(parameter) && Number(parameter.slice(2)) > 0;
}
