/**
 * Secrets and personal values that the demo's agents carry through their calls, as real agents do. They are made up and
 * put together here from parts, so that a scanner of this repository finds none. None of them may ever reach the trail:
 * the quick start says what was redacted, and a test searches the bytes of every store for them.
 */
export const PLANTED = {
  awsAccessKey: ['AK', 'IA', 'Z7QW3RTY', 'P0LK9MNB'].join(''),
  githubToken: ['gh', 'p_', 'k3Jd8sLq0ZxV5nB1', 'mC7tR4yU2wE9aH6fG0pS'].join(''),
  email: ['marta.lindqvist', 'fjordmail.example'].join('@'),
  phone: ['+46', '70', '555', '01', '42'].join(' '),
  iban: ['DE89', '3704', '0044', '0532', '0130', '00'].join(' '),
  card: ['4539', '1488', '0343', '6467'].join(' '),
  /** Names no detector can know: they stay out because parameters are hashed and not kept. */
  person: ['Marta', 'Lindqvist'].join(' '),
} as const;
