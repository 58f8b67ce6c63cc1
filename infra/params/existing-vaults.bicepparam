// Vaults that exist, in resource groups of their own, and consumers that may read one secret each.
using '../main.bicep'

param deploymentName = 'contoso-pats'
param alertEmail = 'platform@contoso.com'
param patsVaultName = 'contoso-pats'
param patsVaultResourceGroup = 'rg-contoso-pats'
param credentialsVaultName = 'contoso-technical-users'
param credentialsVaultResourceGroup = 'rg-contoso-identity'
param enrollmentsVaultName = 'contoso-enrollments'
param enrollmentsVaultResourceGroup = 'rg-contoso-identity'
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
