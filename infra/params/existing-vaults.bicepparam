// Vaults that exist, in resource groups of their own, more of them for teams, and consumers that may read one secret each.
using '../main.bicep'

param deploymentName = 'contoso-pats'
param alertEmail = 'platform@contoso.com'
param patsVaultName = 'contoso-pats'
param patsVaultResourceGroup = 'rg-contoso-pats'
param credentialsVaultName = 'contoso-technical-users'
param credentialsVaultResourceGroup = 'rg-contoso-identity'
param enrollmentsVaultName = 'contoso-enrollments'
param enrollmentsVaultResourceGroup = 'rg-contoso-identity'
// Of teams that keep their PATs apart: one in a subscription of its own.
param vaults = [
  '/subscriptions/00000000-0000-4000-8000-00000000beef/resourceGroups/rg-contoso-web/providers/Microsoft.KeyVault/vaults/contoso-web'
  '/subscriptions/00000000-0000-4000-8000-00000000cafe/resourceGroups/rg-contoso-ops/providers/Microsoft.KeyVault/vaults/contoso-ops'
]
// The role that infra/custom-role.bicep makes.
param logsRoleId = '55555555-0000-4000-8000-000000000001'
param consumers = [
  {
    secretName: 'agents-linux-pat'
    principalId: '44444444-0000-4000-8000-000000000001'
  }
  {
    secretName: 'sonarqube-pat'
    principalId: '44444444-0000-4000-8000-000000000002'
    principalType: 'Group'
  }
]
