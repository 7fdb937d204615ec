// Types are checked by the compiler, layout by prettier, import direction by test/imports.test.ts. This is the rest: above
// all that no promise is lost and nothing escapes the types. Every exception from the strict set says why.
import js from '@eslint/js';
import { defineConfig, globalIgnores } from 'eslint/config';
import tseslint from 'typescript-eslint';

/** Parts that are handed their clock and their random numbers, so that they run the same in a server and in a simulation. */
const PURE = [
  'src/routing/**/*.ts',
  'src/workers/**/*.ts',
  'src/cache-knowledge/**/*.ts',
  'src/limits/**/*.ts',
];
const TESTS = ['**/*.test.ts', 'test/**/*.ts'];

const READS_THE_WORLD = [
  { object: 'Date', property: 'now', message: 'Take the time from the Clock that is handed in.' },
  { object: 'performance', property: 'now', message: 'Take the time from the Clock that is handed in.' },
  { object: 'Math', property: 'random', message: 'Take random numbers from the Random that is handed in.' },
];

export default defineConfig(
  globalIgnores(['dist/', 'bench/results/', '.node/', '.cache/']),
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  js.configs.recommended,
  tseslint.configs.strictTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      // A file above this says why at its top: /* eslint max-lines: off -- reason */
      'max-lines': ['error', { max: 300, skipBlankLines: true, skipComments: true }],
      'max-lines-per-function': ['error', { max: 60, skipBlankLines: true, skipComments: true }],
      eqeqeq: ['error', 'always'],
      'no-console': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],

      // A number in a message reads well as it is.
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      // `() => socket.destroy()` as a listener says what it does; braces around it say nothing more.
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      // It takes a property for unchanged across calls and awaits, and so objects to the second look at `closed` or `done`
      // that an asynchronous program needs.
      '@typescript-eslint/no-unnecessary-condition': 'off',
      // With noUncheckedIndexedAccess every read of a typed array may be undefined to the compiler. Where a structure keeps
      // its own bounds, `!` is the honest word; a check for a case that cannot happen is code that cannot be tested.
      '@typescript-eslint/no-non-null-assertion': 'off',
      // An interface may promise a promise where one implementation has nothing to wait for.
      '@typescript-eslint/require-await': 'off',
      // tsconfig's noPropertyAccessFromIndexSignature demands exactly what this rule forbids.
      '@typescript-eslint/dot-notation': 'off',
    },
  },
  {
    files: PURE,
    ignores: TESTS,
    rules: { 'no-restricted-properties': ['error', ...READS_THE_WORLD] },
  },
  {
    // The one request path, kept in one place on purpose: it is to be read from top to bottom.
    files: ['src/request/route-request.ts'],
    rules: { 'max-lines-per-function': 'off' },
  },
  {
    // The global fetch costs four times what the own client does, and follows redirects.
    files: ['src/**/*.ts'],
    ignores: TESTS,
    rules: {
      'no-restricted-globals': [
        'error',
        { name: 'fetch', message: 'Requests to workers go through engines/.' },
      ],
    },
  },
  {
    files: TESTS,
    rules: {
      // A describe() holds many tests, and one behaviour's test may tell a long story.
      'max-lines-per-function': 'off',
      'max-lines': ['error', { max: 600, skipBlankLines: true, skipComments: true }],
      // node:test takes care of the promises of its own functions.
      '@typescript-eslint/no-floating-promises': [
        'error',
        {
          allowForKnownSafeCalls: [
            { from: 'package', package: 'node:test', name: ['test', 'it', 'describe', 'suite'] },
          ],
        },
      ],
      // What a server answered is looked into freely; an assertion follows anyway.
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-call': 'off',
      '@typescript-eslint/no-unsafe-return': 'off',
      '@typescript-eslint/no-empty-function': 'off',
      '@typescript-eslint/no-dynamic-delete': 'off',
      // Cutting a text up in every way is what a property test does.
      '@typescript-eslint/no-misused-spread': ['error', { allow: ['string'] }],
    },
  },
  {
    // Plain JavaScript: scripts, the launcher, this file. They have no types to check; their globals are Node's.
    files: ['**/*.js', '**/*.mjs'],
    extends: [tseslint.configs.disableTypeChecked],
    languageOptions: {
      globals: Object.fromEntries(Object.getOwnPropertyNames(globalThis).map((name) => [name, 'readonly'])),
    },
  },
);
