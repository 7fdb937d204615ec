// A policy that asks somebody else: a service that knows which worker holds a session.
//
//   plugins: [./session-directory.ts]
//   policy:
//     type: session_directory
//     url: http://127.0.0.1:9000/owner
//     timeout_ms: 20
//     fallback: least_work
import { definePlugin, definePolicy, ParameterError, type Choice } from 'vllm-router';

/** The answer of the service: `{"worker": "http://gpu1:8000"}`. */
interface Owner {
  readonly worker?: string;
}

export default definePlugin({
  apiVersion: 1,
  policies: {
    session_directory: definePolicy({
      parameters(raw): { readonly url: string } {
        const { url } = raw;
        if (typeof url !== 'string' || !URL.canParse(url)) throw new ParameterError('url', 'expected a URL');
        return { url };
      },
      create: ({ url }) => ({
        // Awaited before `choose`. Too late, or an error: the fallback chooses, and nobody waits any longer.
        async prepare(ask, _pool, { signal }): Promise<Owner> {
          const response = await fetch(`${url}?session=${encodeURIComponent(ask.hashKey().value)}`, {
            signal,
          });
          if (!response.ok) throw new Error(`the directory answered ${response.status}`);
          return (await response.json()) as Owner;
        },
        choose(_ask, pool, owner: unknown): Choice {
          const { worker } = owner as Owner;
          const index = pool.members.findIndex(({ id }, at) => id === worker && pool.mask[at] === 0);
          if (index >= 0) return { kind: 'chosen', index, reason: 'owner' };
          const free = pool.mask.indexOf(0);
          return { kind: 'chosen', index: free, reason: 'no_owner' };
        },
      }),
    }),
  },
});
