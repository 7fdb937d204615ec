import { randomInt, type Random } from '../../src/base/random.ts';

/** Everyday words, as the lengths of tokens depend on what is written. */
const WORDS =
  'the a of to and in that it is was for on are with as they be at one have this from or had by hot word but what some we can out other were all there when up use your how said an each she which do their time if will way about many then them write would like so these her long make thing see him two has look more day could go come did number sound no most people my over know water than call first who may down side been now find any new work part take get place made live where after back little only round man year came show every good me give our under name very through just form sentence great think say help low line differ turn cause much mean before move right boy old too same tell does set three want air well also play small end put home read hand port large spell add even land here must big high such follow act why ask men change went light kind off need house picture try us again animal point mother world near build self earth father'.split(
    ' ',
  );
const LONGEST_SENTENCE = 14;

/** Sentences of about that many words. */
export function prose(random: Random, words: number): string {
  const sentences: string[] = [];
  for (let left = words; left > 0;) {
    const length = Math.min(left, 4 + randomInt(random, LONGEST_SENTENCE - 4));
    const sentence = Array.from({ length }, () => WORDS[randomInt(random, WORDS.length)] ?? 'the').join(' ');
    sentences.push(`${sentence.charAt(0).toUpperCase()}${sentence.slice(1)}.`);
    left -= length;
  }
  return sentences.join(' ');
}
