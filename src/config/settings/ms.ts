/** At least 1 ms for what is not 0: 0 means off or never to some settings. */
export const ms = (seconds: number): number => (seconds === 0 ? 0 : Math.max(1, Math.round(seconds * 1000)));
