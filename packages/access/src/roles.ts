/** What somebody may be, from least to most. Not a ladder: an auditor asks no SQL, and an admin opens nothing that is sealed. */
export const ROLES = ['viewer', 'analyst', 'auditor', 'admin'] as const;
export type Role = (typeof ROLES)[number];

/**
 * - `trail`: events and what is made of them. - `sql`: read-only SQL. - `export`: whole results and bundles.
 * - `unseal`: sealed values. - `keys`: API keys. - `holds`: legal holds.
 */
export const SCOPES = ['trail', 'reports', 'sql', 'export', 'unseal', 'keys', 'holds'] as const;
export type Scope = (typeof SCOPES)[number];

/** What each role may at most; a key may be given less. */
export const SCOPES_OF: Readonly<Record<Role, readonly Scope[]>> = {
  viewer: ['trail'],
  analyst: ['trail', 'reports', 'sql'],
  auditor: ['trail', 'reports', 'export', 'unseal'],
  admin: ['trail', 'reports', 'keys', 'holds'],
};
