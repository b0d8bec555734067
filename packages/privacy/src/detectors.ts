/**
 * What is looked for in texts: credentials by the forms that their issuers publish, personal values by form and, where
 * there is one, by check digit. Patterns are RE2's and run in linear time on hostile input.
 */
export interface Detector {
  /** Goes into the trail as the rule that fired. */
  readonly rule: string;
  /** Cheap test that every match passes; most texts fail it. */
  readonly hint: RegExp;
  readonly pattern: string;
  /** Says whether a match is one indeed. */
  readonly confirm?: (match: string) => boolean;
}

const DIGIT = /\d/;

/** Earlier detectors win where matches overlap. */
export const DETECTORS: readonly Detector[] = [
  {
    rule: 'secret.private-key',
    hint: /-----BEGIN/,
    pattern:
      '-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----[A-Za-z0-9+/=\\s:,.\\\\-]*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|\\z)',
  },
  {
    rule: 'secret.jwt',
    hint: /eyJ/,
    pattern: 'eyJ[A-Za-z0-9_-]{8,}\\.[A-Za-z0-9_-]{8,}\\.[A-Za-z0-9_-]{0,}',
  },
  {
    rule: 'secret.aws-access-key',
    hint: /A[KS]IA|A[BC]IA/,
    pattern: '\\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\\b',
  },
  {
    rule: 'secret.github-token',
    hint: /gh[pousr]_|github_pat_/,
    pattern: '(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{22,})',
  },
  {
    rule: 'secret.gitlab-token',
    hint: /gl[a-z]{2,8}-/,
    pattern: '\\bgl(?:pat|ptt|dt|rt|soat|cbt|imt|ft|agent)-[A-Za-z0-9_-]{20,}',
  },
  {
    rule: 'secret.slack-token',
    hint: /xox|xapp-|hooks\.slack/,
    pattern:
      '(?:xox[abeoprs]-[A-Za-z0-9-]{10,}|xapp-[0-9]-[A-Za-z0-9-]{10,}|hooks\\.slack\\.com/services/[A-Za-z0-9/_-]{20,})',
  },
  {
    rule: 'secret.stripe-key',
    hint: /[sr]k_|whsec_/,
    pattern: '(?:[sr]k_(?:live|test)_[A-Za-z0-9]{16,}|whsec_[A-Za-z0-9+/=]{16,})',
  },
  {
    rule: 'secret.google-key',
    hint: /AIza|ya29\.|GOCSPX-/,
    pattern: '(?:AIza[A-Za-z0-9_-]{35}|ya29\\.[A-Za-z0-9_-]{20,}|GOCSPX-[A-Za-z0-9_-]{20,})',
  },
  {
    rule: 'secret.model-provider-key',
    hint: /sk-/,
    pattern: '\\bsk-(?:ant-|proj-|svcacct-|or-v1-)?[A-Za-z0-9_-]{20,}',
  },
  { rule: 'secret.npm-token', hint: /npm_/, pattern: '\\bnpm_[A-Za-z0-9]{36}\\b' },
  { rule: 'secret.pypi-token', hint: /pypi-/, pattern: '\\bpypi-[A-Za-z0-9_-]{50,}' },
  {
    rule: 'secret.sendgrid-key',
    hint: /SG\./,
    pattern: '\\bSG\\.[A-Za-z0-9_-]{16,32}\\.[A-Za-z0-9_-]{16,64}',
  },
  {
    rule: 'secret.url-password',
    hint: /:\/\/[^\s/]*@/,
    pattern: '[A-Za-z][A-Za-z0-9+.-]{1,30}://[^\\s/:@]*:[^\\s/@]+@',
  },
  {
    rule: 'secret.authorization',
    hint: /bearer|basic|digest/i,
    pattern: '(?i)\\b(?:bearer|basic)\\s+[A-Za-z0-9._~+/=-]{8,}',
  },
  {
    rule: 'secret.assignment',
    hint: /[:=]/,
    pattern:
      '(?i)(?:password|passwd|passphrase|secret|api[_-]?key|access[_-]?key|auth[_-]?token|access[_-]?token|refresh[_-]?token|client[_-]?secret|private[_-]?key|credential)s?["\']?\\s{0,4}[:=]\\s{0,4}["\']?[^\\s"\',;&}]{4,}',
  },
  {
    rule: 'pii.email',
    hint: /@/,
    pattern: "[A-Za-z0-9._%+'-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]*)\\.[A-Za-z]{2,24}",
  },
  {
    rule: 'pii.iban',
    hint: /[A-Z]{2}\d{2}/,
    pattern: '\\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\\b',
    confirm: isIban,
  },
  {
    rule: 'pii.payment-card',
    hint: DIGIT,
    pattern:
      '\\b[2-6][0-9]{3}(?:[ -]?[0-9]{4}){2}[ -]?[0-9]{1,7}\\b|\\b3[47][0-9]{2}[ -]?[0-9]{6}[ -]?[0-9]{5}\\b',
    confirm: isCard,
  },
  {
    rule: 'pii.us-ssn',
    hint: /\d{3}-\d{2}-\d{4}/,
    pattern: '\\b[0-9]{3}-[0-9]{2}-[0-9]{4}\\b',
    confirm: isSsn,
  },
  {
    rule: 'pii.phone',
    hint: /\+|\(\d{3}\)/,
    pattern:
      '(?:\\+[0-9]{1,3}[ .-]?(?:\\(?[0-9]{1,4}\\)?[ .-]?){2,6}[0-9]{1,4}\\b|\\([0-9]{3}\\) ?[0-9]{3}[ .-][0-9]{4}\\b)',
    confirm: isPhone,
  },
  {
    rule: 'pii.ipv4',
    hint: /\d\.\d/,
    pattern: '\\b(?:[0-9]{1,3}\\.){3}[0-9]{1,3}\\b',
    confirm: isPublicIpv4,
  },
];

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
