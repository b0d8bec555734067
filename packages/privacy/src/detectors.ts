import { around, bounded, linear, linearWithin, type Search } from './search.ts';

/**
 * What is looked for in texts: credentials by the forms that their issuers publish, personal values by form and, where
 * there is one, by check digit. Every search runs in linear time on hostile input.
 */
export interface Detector {
  /** Goes into the trail as the rule that fired. */
  readonly rule: string;
  readonly search: Search;
  /** Says whether a match is one indeed. */
  readonly confirm?: (match: string) => boolean;
}

/** Earlier detectors win where matches overlap. None matches fewer than `MATCH_CHARACTERS_MIN` characters. */
export const DETECTORS: readonly Detector[] = [
  {
    rule: 'secret.private-key',
    // Its middle may hold further beginnings, each of which would read to the end.
    search: linear(
      /-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY/g,
      '-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----[A-Za-z0-9+/=\\s:,.\\\\-]*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\\z)',
    ),
  },
  {
    rule: 'secret.jwt',
    // `eyJ` may stand again and again in what follows it.
    search: linear(/eyJ[A-Za-z0-9_-]{8}/g, 'eyJ[A-Za-z0-9_-]{8,}\\.[A-Za-z0-9_-]{8,}\\.[A-Za-z0-9_-]{0,}'),
  },
  { rule: 'secret.aws-access-key', search: bounded(/\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b/g) },
  {
    rule: 'secret.github-token',
    search: bounded(/gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{22,}/g),
  },
  {
    rule: 'secret.gitlab-token',
    search: bounded(/\bgl(?:pat|ptt|dt|rt|soat|cbt|imt|ft|agent)-[A-Za-z0-9_-]{20,}/g),
  },
  {
    rule: 'secret.slack-token',
    search: bounded(
      /xox[abeoprs]-[A-Za-z0-9-]{10,}|xapp-[0-9]-[A-Za-z0-9-]{10,}|hooks\.slack\.com\/services\/[A-Za-z0-9/_-]{20,}/g,
    ),
  },
  {
    rule: 'secret.stripe-key',
    search: bounded(/[sr]k_(?:live|test)_[A-Za-z0-9]{16,}|whsec_[A-Za-z0-9+/=]{16,}/g),
  },
  {
    rule: 'secret.google-key',
    search: bounded(/AIza[A-Za-z0-9_-]{35}|ya29\.[A-Za-z0-9_-]{20,}|GOCSPX-[A-Za-z0-9_-]{20,}/g),
  },
  {
    rule: 'secret.model-provider-key',
    search: bounded(/\bsk-(?:ant-|proj-|svcacct-|or-v1-)?[A-Za-z0-9_-]{20,}/g),
  },
  { rule: 'secret.npm-token', search: bounded(/\bnpm_[A-Za-z0-9]{36}\b/g) },
  { rule: 'secret.pypi-token', search: bounded(/\bpypi-[A-Za-z0-9_-]{50,}/g) },
  {
    rule: 'secret.sendgrid-key',
    search: bounded(/\bSG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{16,64}/g),
  },
  {
    rule: 'secret.url-password',
    // At most 31 attempts begin before one `://`, and what they read behind it holds no other.
    search: bounded(/[A-Za-z][A-Za-z0-9+.-]{1,30}:\/\/[^\t\n\f\r /:@]*:[^\t\n\f\r /@]+@/g, /:\/\/[^\s/]*@/),
  },
  {
    rule: 'secret.authorization',
    search: bounded(/\b(?:bearer|basic)[\t\n\f\r ]+[\w.~+/=\u017f\u212a-]{8,}/gi),
  },
  {
    rule: 'secret.assignment',
    search: bounded(
      /(?:password|passwd|passphrase|secret|api[_-]?key|access[_-]?key|auth[_-]?token|access[_-]?token|refresh[_-]?token|client[_-]?secret|private[_-]?key|credential)s?["']?[\t\n\f\r ]{0,4}[:=][\t\n\f\r ]{0,4}["']?[^\t\n\f\r "',;&}]{4,}/giu,
      /[:=]/,
    ),
  },
  {
    rule: 'pii.email',
    search: around('@', /[A-Za-z0-9._%+'-]/, 64, /[A-Za-z0-9][A-Za-z0-9.-]*\.[A-Za-z]{2,24}/y),
  },
  {
    rule: 'pii.iban',
    search: bounded(/\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b/g),
    confirm: isIban,
  },
  {
    rule: 'pii.payment-card',
    search: bounded(
      /\b[2-6][0-9]{3}(?:[ -]?[0-9]{4}){2}[ -]?[0-9]{1,7}\b|\b3[47][0-9]{2}[ -]?[0-9]{6}[ -]?[0-9]{5}\b/g,
    ),
    confirm: isCard,
  },
  {
    rule: 'pii.us-ssn',
    search: bounded(/\b[0-9]{3}-[0-9]{2}-[0-9]{4}\b/g),
    confirm: isSsn,
  },
  {
    rule: 'pii.phone',
    // Digits can be grouped in thousands of ways, all of which would be tried. No attempt reads beyond the next `+`.
    search: linearWithin(
      /\+[0-9]{1,3}[ .-]?\(?[0-9]|\([0-9]{3}\) ?[0-9]/g,
      '(?:\\+[0-9]{1,3}[ .-]?(?:\\(?[0-9]{1,4}\\)?[ .-]?){2,6}[0-9]{1,4}\\b|\\([0-9]{3}\\) ?[0-9]{3}[ .-][0-9]{4}\\b)',
      51,
    ),
    confirm: isPhone,
  },
  {
    rule: 'pii.ipv4',
    search: bounded(/\b(?:[0-9]{1,3}\.){3}[0-9]{1,3}\b/g),
    confirm: isPublicIpv4,
  },
];

/** `a@b.cc` */
export const MATCH_CHARACTERS_MIN = 6;

/** Names whose values are secrets whatever they look like. */
export const SECRET_NAME =
  /^(?:.*[_.-])?(?:password|passwd|passphrase|pwd|secret|api[_-]?key|apikey|access[_-]?key|private[_-]?key|credentials?|authorization|auth[_-]?token|access[_-]?token|refresh[_-]?token|id[_-]?token|client[_-]?secret|session[_-]?token|bearer|cookie)$/i;

function digitsOf(text: string): string {
  return text.replaceAll(/\D/g, '');
}

/** ISO/IEC 7812-1, annex B (Luhn). */
function isCard(match: string): boolean {
  const digits = digitsOf(match);
  if (digits.length < 13 || digits.length > 19) return false;
  const sum = [...digits].reverse().reduce((total, digit, index) => {
    const value = Number(digit) * (index % 2 === 1 ? 2 : 1);
    return total + (value > 9 ? value - 9 : value);
  }, 0);
  return sum % 10 === 0;
}

/** ISO 13616: the letters as numbers, the first four characters behind the rest, modulo 97 is 1. */
function isIban(match: string): boolean {
  const compact = match.replaceAll(' ', '');
  if (compact.length < 15 || compact.length > 34) return false;
  const moved = compact.slice(4) + compact.slice(0, 4);
  let rest = 0;
  for (const character of moved) {
    const value = Number.parseInt(character, 36);
    rest = (rest * (value > 9 ? 100 : 10) + value) % 97;
  }
  return rest === 1;
}

/** Numbers that the administration never gives out are none. */
function isSsn(match: string): boolean {
  const [area = '', group = '', serial = ''] = match.split('-');
  return area !== '000' && area !== '666' && area < '900' && group !== '00' && serial !== '0000';
}

/** E.164 allows at most 15 digits; fewer than 8 is no subscriber. */
function isPhone(match: string): boolean {
  const digits = digitsOf(match).length;
  return digits >= 8 && digits <= 15;
}

/** Addresses of people. Loopback, private and unspecified ones name no person, and versions look like 1.2.3.4. */
function isPublicIpv4(match: string): boolean {
  const parts = match.split('.').map(Number);
  const [a = 0, b = 0] = parts;
  if (parts.some((part) => part > 255)) return false;
  if (a < 11 || a === 127 || a >= 224) return false;
  return !(a === 172 && b >= 16 && b < 32) && !(a === 192 && b === 168) && !(a === 169 && b === 254);
}
