import * as z from 'zod';
import { count, host, key, milliseconds, port, secs } from './field.ts';

export const retry = z
  .strictObject({
    max_retries: key(count(1).default(5), {
      group: 'Retries',
      flags: ['--retry-max-retries'],
      about: 'Attempts in total, the first one included.',
    }),
    initial_backoff_ms: key(milliseconds().default(50), {
      group: 'Retries',
      flags: ['--retry-initial-backoff-ms'],
      about: 'Pause before the first retry.',
    }),
    max_backoff_ms: key(milliseconds().default(30_000), {
      group: 'Retries',
      flags: ['--retry-max-backoff-ms'],
      about: "Longest pause. A worker's Retry-After above it ends retrying and is passed on.",
    }),
    backoff_multiplier: key(z.number().min(1).default(1.5), {
      group: 'Retries',
      flags: ['--retry-backoff-multiplier'],
      about: 'Growth of the pause from retry to retry.',
    }),
    jitter_factor: key(z.number().min(0).max(1).default(0.2), {
      group: 'Retries',
      flags: ['--retry-jitter-factor'],
      about: 'Random share of the pause: 0.2 means 20% more or less.',
    }),
    budget_ratio: key(z.number().min(0).default(0.2), {
      group: 'Retries',
      flags: ['--retry-budget-ratio'],
      about: 'Retries allowed per request of the last 10 s, so that retries cannot double an outage.',
    }),
    budget_floor: key(count(0).default(10), {
      group: 'Retries',
      flags: ['--retry-budget-floor'],
      about: 'Retries per 10 s that are allowed however few requests there are.',
    }),
  })
  .prefault({});

export const circuitBreaker = z
  .strictObject({
    failure_threshold: key(count(1).default(10), {
      group: 'Circuit breaker',
      flags: ['--cb-failure-threshold'],
      about: 'Consecutive failures within the window that open the circuit of a worker.',
    }),
    success_threshold: key(count(1).default(3), {
      group: 'Circuit breaker',
      flags: ['--cb-success-threshold'],
      about: 'Consecutive successes of trial requests that close it again.',
    }),
    timeout_duration_secs: key(secs().default(60), {
      group: 'Circuit breaker',
      flags: ['--cb-timeout-duration-secs'],
      about: 'How long it stays open before trial requests are let through.',
    }),
    window_duration_secs: key(secs().default(120), {
      group: 'Circuit breaker',
      flags: ['--cb-window-duration-secs'],
      about: 'A run of failures counts only if all of them lie within this time.',
    }),
    half_open_max_requests: key(count(1).default(1), {
      group: 'Circuit breaker',
      flags: ['--cb-half-open-max-requests'],
      about: 'Trial requests at a time while half-open.',
    }),
  })
  .prefault({});

export const healthCheck = z
  .strictObject({
    failure_threshold: key(count(1).default(3), {
      group: 'Health checks',
      flags: ['--health-failure-threshold'],
      about: 'Consecutive failed checks that make a worker unhealthy.',
    }),
    success_threshold: key(count(1).default(2), {
      group: 'Health checks',
      flags: ['--health-success-threshold'],
      about: 'Consecutive good checks that readmit it. A new worker needs one.',
    }),
    timeout_secs: key(secs().default(5), {
      group: 'Health checks',
      flags: ['--health-check-timeout-secs'],
      about: 'A check without an answer for this long has failed.',
    }),
    check_interval_secs: key(secs().default(60), {
      group: 'Health checks',
      flags: ['--health-check-interval-secs'],
      about: 'Time between two checks of a worker, 10% more or less by chance.',
    }),
    endpoint: key(
      z
        .string()
        .regex(/^\/[!-~]*$/, 'expected a path that begins with /')
        .default('/health'),
      {
        group: 'Health checks',
        flags: ['--health-check-endpoint'],
        about: 'Path that is asked; a 2xx answer is good.',
        value: 'PATH',
      },
    ),
  })
  .prefault({});

export const stallCheck = z
  .strictObject({
    min_silence_secs: key(secs().default(15), {
      group: 'Health checks',
      flags: ['--stall-check-min-silence-secs'],
      about:
        'A worker that has requests and sends nothing is suspect once it has been silent four times as long as ever before, but no sooner than after this long.',
    }),
    max_silence_secs: key(secs().default(120), {
      group: 'Health checks',
      flags: ['--stall-check-max-silence-secs'],
      about: 'And no later than after this long, while nothing has been learnt of it too.',
    }),
  })
  .prefault({});

export const metrics = z
  .strictObject({
    enabled: key(z.boolean().default(true), {
      group: 'Metrics',
      flags: ['--metrics'],
      about: 'Offer Prometheus metrics.',
    }),
    host: key(host().default('127.0.0.1'), {
      group: 'Metrics',
      flags: ['--prometheus-host'],
      about: 'Address of the metrics listener.',
      value: 'HOST',
    }),
    port: key(port().default(29_000), {
      group: 'Metrics',
      flags: ['--prometheus-port'],
      about: 'Port of the metrics listener; 0 takes any free port.',
    }),
  })
  .prefault({});
