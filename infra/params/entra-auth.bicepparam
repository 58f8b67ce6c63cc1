// Callers of the HTTP API sign in with Entra ID (infra/entra makes the app registration).
using '../main.bicep'

param deploymentName = 'contoso-pats'
param alertEmail = 'platform@contoso.com'
param authClientId = '22222222-2222-3333-4444-555555555555'
param authAllowedApplications = [
  '33333333-0000-4000-8000-000000000001'
]
