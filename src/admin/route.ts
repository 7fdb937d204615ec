import type * as z from 'zod';
import type { AdminContext } from './context.ts';

export type AdminMethod = 'GET' | 'POST' | 'PUT' | 'DELETE';

export interface AdminRequest<Body, Query> {
  readonly body: Body;
  readonly query: Query;
  /** The worker's URL, on routes that have `{url}`. */
  readonly url: string;
  /** On routes that have `{name}`. */
  readonly name: string;
  /** Notes for the audit line what the action was about. */
  readonly note: (fields: Readonly<Record<string, unknown>>) => void;
}

export type Answer =
  | { readonly status: number; readonly json: unknown; readonly headers?: Readonly<Record<string, string>> }
  | { readonly status: number; readonly text: string };

/** One answer of a route, for the description of the API. */
export interface AnswerAbout {
  readonly about: string;
  readonly schema?: z.ZodType;
}

/** A worker or admin route, as data: it is served, validated, audited and described from this. */
export interface AdminRoute {
  readonly method: AdminMethod;
  /** `{url}` stands for a worker's URL, percent-encoded or plain; `{name}` for a name. */
  readonly path: string;
  /** The word of the audit line, for routes that change or do something. */
  readonly action?: string;
  readonly about: string;
  readonly body?: z.ZodType;
  readonly query?: z.ZodType;
  readonly answers: Readonly<Record<number, AnswerAbout>>;
  readonly handle: (
    context: AdminContext,
    request: AdminRequest<unknown, unknown>,
  ) => Answer | Promise<Answer>;
}

/** Ties the types of a route's handler to its schemas. */
export function route<Body extends z.ZodType = z.ZodUndefined, Query extends z.ZodType = z.ZodUndefined>(
  row: Omit<AdminRoute, 'body' | 'query' | 'handle'> & {
    readonly body?: Body;
    readonly query?: Query;
    readonly handle: (
      context: AdminContext,
      request: AdminRequest<z.output<Body>, z.output<Query>>,
    ) => Answer | Promise<Answer>;
  },
): AdminRoute {
  // Body and query are parsed by these very schemas before the handler is called.
  return row as unknown as AdminRoute;
}
