// The host's storage: the deployment package, the timer's lock and the function keys; patrol's leases, reports and queue.
param name string
param location string
param tags object
param skuName string
param isPrivate bool
param workspaceId string

resource account 'Microsoft.Storage/storageAccounts@2025-06-01' = {
  name: name
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: { name: skuName }
  properties: {
    accessTier: 'Hot'
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    allowSharedKeyAccess: false
    defaultToOAuthAuthentication: true
    isLocalUserEnabled: false
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    publicNetworkAccess: isPrivate ? 'Disabled' : 'Enabled'
    networkAcls: {
      // The platform brings the package with the app's identity.
      bypass: 'AzureServices'
      defaultAction: isPrivate ? 'Deny' : 'Allow'
    }
    encryption: {
      keySource: 'Microsoft.Storage'
      requireInfrastructureEncryption: true
      services: {
        blob: { enabled: true, keyType: 'Account' }
        file: { enabled: true, keyType: 'Account' }
      }
    }
  }

  resource blobs 'blobServices' = {
    name: 'default'
    properties: {
      deleteRetentionPolicy: { enabled: true, days: 7 }
      containerDeleteRetentionPolicy: { enabled: true, days: 7 }
    }

    resource packages 'containers' = {
      name: 'app-package'
      properties: { publicAccess: 'None' }
    }

    resource leases 'containers' = {
      name: 'patrol-leases'
      properties: { publicAccess: 'None' }
    }

    resource runs 'containers' = {
      name: 'patrol-runs'
      properties: { publicAccess: 'None' }
    }
  }

  resource queues 'queueServices' = {
    name: 'default'

    resource rotations 'queues' = {
      name: 'patrol-rotations'
    }

    // The host would make it with the first poison message; whoever looks before that should find it empty.
    resource poison 'queues' = {
      name: 'patrol-rotations-poison'
    }
  }

  // A user's last full look is an empty blob in the same container, written again each day: only who left gets old.
  resource expiry 'managementPolicies' = {
    name: 'default'
    properties: {
      policy: {
        rules: [
          {
            name: 'reports'
            enabled: true
            type: 'Lifecycle'
            definition: {
              filters: {
                // Parts of a report are append blobs: those can be deleted by a rule, though not moved between tiers.
                blobTypes: ['blockBlob', 'appendBlob']
                prefixMatch: ['patrol-runs/']
              }
              actions: { baseBlob: { delete: { daysAfterModificationGreaterThan: 30 } } }
            }
          }
        ]
      }
    }
    dependsOn: [blobs]
  }
}

// What is put on a queue, by whomever: the alert on the poison queue reads it. Reads and deletes would cost more and
// tell nothing.
resource messages 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'messages'
  scope: account::queues
  properties: {
    workspaceId: workspaceId
    logs: [
      { category: 'StorageWrite', enabled: true }
    ]
  }
}

output id string = account.id
output packagesUrl string = '${account.properties.primaryEndpoints.blob}${account::blobs::packages.name}'
