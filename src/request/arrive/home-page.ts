import type { LocalAnswer } from '../answer/reply.ts';

/** Nothing but what is in the page itself. */
const POLICY = "default-src 'none'; style-src 'unsafe-inline'";
const WHAT =
  'A request router: it speaks the API of the vLLM servers behind it and sends each request to one of them.';
const TEXT = `vllm-router

${WHAT}

models         /v1/models
health         /readiness, /health, /liveness
metrics        /metrics, on a port of its own (--prometheus-port)
documentation  docs/README.md where it is installed, or vllm-router --help
vLLM's API     https://docs.vllm.ai
`;

const HTML = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>vllm-router</title>
<style>
:root { color-scheme: light dark }
body { margin: 10vh auto; padding: 0 1.5rem; max-width: 38rem; font: 16px/1.6 system-ui, sans-serif }
dt { font-weight: 600 } dd { margin: 0 0 .5rem } code { white-space: nowrap }
</style>
</head>
<body>
<h1>vllm-router</h1>
<p>${WHAT}</p>
<dl>
<dt>Models</dt><dd><a href="v1/models">/v1/models</a></dd>
<dt>Health</dt><dd><a href="readiness">/readiness</a>, <a href="health">/health</a>, <a href="liveness">/liveness</a></dd>
<dt>Metrics</dt><dd>/metrics, on a port of its own (<code>--prometheus-port</code>)</dd>
<dt>Documentation</dt><dd><code>docs/README.md</code> where it is installed, or <code>vllm-router --help</code></dd>
<dt>vLLM’s API</dt><dd><a href="https://docs.vllm.ai">docs.vllm.ai</a></dd>
</dl>
</body>
</html>
`;

/**
 * What stands at `/`, for whoever opens the address to see what is there. It is shown without a key, so it says nothing of
 * this installation: no version, worker, model or address. Links are relative, for a prefix of a proxy before the router.
 */
export function homePage(accept: string | undefined): LocalAnswer {
  return prefersHtml(accept ?? '')
    ? { status: 200, contentType: 'text/html; charset=utf-8', body: HTML, headers: HTML_HEADERS }
    : { status: 200, contentType: 'text/plain; charset=utf-8', body: TEXT, headers: ['vary', 'accept'] };
}

const HTML_HEADERS = ['vary', 'accept', 'content-security-policy', POLICY];

/** Browsers name it, programs take whatever comes. */
function prefersHtml(accept: string): boolean {
  return accept.split(',').some((range) => {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
    return type === 'text/html' && !parameters.some((parameter) => /^q=0(\.0*)?$/.test(parameter));
  });
}
