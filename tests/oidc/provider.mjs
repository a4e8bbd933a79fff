// A certified OpenID Connect provider for the tests: `node provider.mjs '{"port", "resource", "redirect", "kid"}'`.
// It prints `ready` when it listens. Whoever signs in as NAME is NAME, with the roles that are written here.
import { generateKeyPairSync } from 'node:crypto';
import Provider from 'oidc-provider';

const { port, resource, redirect, kid } = JSON.parse(process.argv[2]);
const issuer = `http://127.0.0.1:${port}`;
const key = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' });
const roles = { bot: ['eng'], idle: ['nothing'], ola: ['ops'], eve: ['nothing'] };
const orgs = { bot: 'org-a', idle: 'org-a', rival: 'org-b' };
const client = (client_id) => ({
  client_id,
  client_secret: `${client_id}-secret`,
  grant_types: ['client_credentials'],
  redirect_uris: [],
  response_types: [],
});

const provider = new Provider(issuer, {
  clients: [
    client('bot'),
    client('idle'),
    client('rival'),
    {
      client_id: 'page',
      client_secret: 'page secret/+%',
      grant_types: ['authorization_code'],
      redirect_uris: [redirect],
      response_types: ['code'],
    },
  ],
  jwks: { keys: [{ ...key, kid, use: 'sig', alg: 'RS256' }] },
  cookies: { keys: ['only for tests'] },
  pkce: { required: () => true },
  conformIdTokenClaims: false,
  claims: { openid: ['sub', 'roles', 'org'] },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({ sub: id, roles: roles[id] ?? [], org: orgs[id] ?? 'org-a' }),
  }),
  extraTokenClaims: (_, token) => ({ roles: roles[token.clientId] ?? ['eng'], org: orgs[token.clientId] }),
  features: {
    devInteractions: { enabled: true },
    clientCredentials: { enabled: true },
    dPoP: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => undefined,
      getResourceServerInfo: (_, indicator) => ({
        scope: 'cenoby other',
        audience: indicator,
        accessTokenFormat: 'jwt',
        accessTokenTTL: 600,
        jwt: { sign: { alg: 'RS256' } },
      }),
    },
  },
});
void resource;
provider.listen(port, '127.0.0.1', () => console.log('ready'));
