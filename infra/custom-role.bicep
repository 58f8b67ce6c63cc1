// Optional, once for a subscription: a role that publishes secrets and can neither delete nor purge, for whoever finds
// Key Vault Secrets Officer too wide. Give its output to main.bicep as patsVaultRoleId. Needs the right to write role
// definitions: az deployment sub create --location LOCATION --template-file infra/custom-role.bicep
targetScope = 'subscription'

@description('Name of the role; unique in the tenant.')
@minLength(3)
@maxLength(128)
param roleName string = 'patrol Secrets Publisher'

resource role 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: guid(subscription().id, roleName)
  properties: {
    roleName: roleName
    type: 'CustomRole'
    description: 'Reads, lists, writes, changes and recovers secrets; cannot delete, purge, back up or restore them'
    assignableScopes: [subscription().id]
    permissions: [
      {
        actions: []
        notActions: []
        dataActions: [
          'Microsoft.KeyVault/vaults/secrets/getSecret/action'
          'Microsoft.KeyVault/vaults/secrets/readMetadata/action'
          'Microsoft.KeyVault/vaults/secrets/setSecret/action'
          'Microsoft.KeyVault/vaults/secrets/update/action'
          'Microsoft.KeyVault/vaults/secrets/recover/action'
        ]
        notDataActions: []
      }
    ]
  }
}

@description('Name of the role that keeps enrollments; unique in the tenant.')
@minLength(3)
@maxLength(128)
param enrollmentRoleName string = 'patrol Enrollment Keeper'

resource enrollmentRole 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: guid(subscription().id, enrollmentRoleName)
  properties: {
    roleName: enrollmentRoleName
    type: 'CustomRole'
    description: 'Writes new versions of secrets and changes their tags; cannot read, delete, purge or restore them'
    assignableScopes: [subscription().id]
    permissions: [
      {
        actions: []
        notActions: []
        dataActions: [
          'Microsoft.KeyVault/vaults/secrets/setSecret/action'
          'Microsoft.KeyVault/vaults/secrets/update/action'
        ]
        notDataActions: []
      }
    ]
  }
}

@description('Name of the role that reads the log of a vault; unique in the tenant.')
@minLength(3)
@maxLength(128)
param logsRoleName string = 'patrol Vault Log Reader'

resource logsRole 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: guid(subscription().id, logsRoleName)
  properties: {
    roleName: logsRoleName
    type: 'CustomRole'
    description: 'Reads the two tables that a vault logs its calls to, of what it is assigned on; reads no secret and no other log'
    assignableScopes: [subscription().id]
    permissions: [
      {
        actions: [
          'Microsoft.Insights/logs/AZKVAuditLogs/read'
          'Microsoft.Insights/logs/AzureDiagnostics/read'
        ]
        notActions: []
        dataActions: []
        notDataActions: []
      }
    ]
  }
}

output logsRoleId string = logsRole.name
output enrollmentRoleId string = enrollmentRole.name
output roleId string = role.name
