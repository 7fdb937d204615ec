// A hook: refuses requests that hold a private key, and takes e-mail addresses out of the messages of the others.
//
//   plugins: [./no-secrets.ts]
//   pre_routing_hooks:
//     - name: secrets
//       plugin: no_secrets
//       parameters: { replacement: "<email>" }
//       transform: true
//       on_error: block
import { defineHook, definePlugin, ParameterError, type PluginVerdict } from 'vllm-router';

const EMAIL = /[\w.+-]+@[\w-]+(\.[\w-]+)+/g;

export default definePlugin({
  apiVersion: 1,
  hooks: {
    no_secrets: defineHook({
      parameters(raw): { readonly replacement: string } {
        const { replacement = '<email>' } = raw;
        if (typeof replacement !== 'string') throw new ParameterError('replacement', 'expected a text');
        return { replacement };
      },
      create: ({ replacement }) => ({
        run(request): PluginVerdict {
          const text = Buffer.from(request.bytes).toString();
          if (text.includes('PRIVATE KEY-----'))
            return { action: 'reject', reason: 'the prompt holds a private key' };
          const body = request.json();
          if (typeof body !== 'object' || body === null || !('messages' in body)) return { action: 'allow' };
          // Only the messages: what is written elsewhere in the body stays as it is.
          const before = JSON.stringify(body.messages);
          const after = before.replaceAll(EMAIL, replacement);
          if (after === before) return { action: 'allow' };
          return { action: 'transform', body: { ...body, messages: JSON.parse(after) as unknown } };
        },
      }),
    }),
  },
});
