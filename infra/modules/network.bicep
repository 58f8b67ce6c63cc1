// A network of the app's own: the app goes out through one subnet, storage and vaults have an address in the other.
param name string
param location string
param tags object
param addressPrefix string
param storageId string
@description('The account with the deployment package.')
param packagesId string
@description('The account with the inventory; empty: it is in the package.')
param inventoryId string
@description('Resource ids of the vaults.')
param vaultIds array

var storageSuffix = environment().suffixes.storage
var zoneNames = [
  'privatelink.blob.${storageSuffix}'
  'privatelink.queue.${storageSuffix}'
  // The public cloud's private zone is not named after its vaults' suffix.
  environment().name == 'AzureCloud'
    ? 'privatelink.vaultcore.azure.net'
    : 'privatelink${environment().suffixes.keyvaultDns}'
]
var storageEndpoints = [
  { name: 'blob', serviceId: storageId, group: 'blob', zone: 0 }
  { name: 'queue', serviceId: storageId, group: 'queue', zone: 1 }
  { name: 'package', serviceId: packagesId, group: 'blob', zone: 0 }
]
var vaultEndpoints = [for (vaultId, i) in vaultIds: { name: 'vault-${i}', serviceId: vaultId, group: 'vault', zone: 2 }]
var inventoryEndpoints = empty(inventoryId)
  ? []
  : [{ name: 'inventory', serviceId: inventoryId, group: 'blob', zone: 0 }]
var endpoints = concat(storageEndpoints, inventoryEndpoints, vaultEndpoints)

resource group 'Microsoft.Network/networkSecurityGroups@2024-05-01' = {
  name: '${name}-nsg'
  location: location
  tags: tags
}

resource network 'Microsoft.Network/virtualNetworks@2024-05-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    addressSpace: { addressPrefixes: [addressPrefix] }
    subnets: [
      {
        name: 'app'
        properties: {
          addressPrefix: cidrSubnet(addressPrefix, 26, 0)
          networkSecurityGroup: { id: group.id }
          delegations: [
            { name: 'app', properties: { serviceName: 'Microsoft.App/environments' } }
          ]
        }
      }
      {
        name: 'endpoints'
        properties: {
          addressPrefix: cidrSubnet(addressPrefix, 26, 1)
          networkSecurityGroup: { id: group.id }
          privateEndpointNetworkPolicies: 'Enabled'
        }
      }
    ]
  }

  resource appSubnet 'subnets' existing = {
    name: 'app'
  }

  resource endpointSubnet 'subnets' existing = {
    name: 'endpoints'
  }
}

resource zones 'Microsoft.Network/privateDnsZones@2024-06-01' = [
  for zoneName in zoneNames: {
    name: zoneName
    location: 'global'
    tags: tags
  }
]

resource links 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = [
  for (zoneName, i) in zoneNames: {
    parent: zones[i]
    name: name
    location: 'global'
    tags: tags
    properties: {
      registrationEnabled: false
      virtualNetwork: { id: network.id }
    }
  }
]

resource privateEndpoints 'Microsoft.Network/privateEndpoints@2024-05-01' = [
  for endpoint in endpoints: {
    name: '${name}-${endpoint.name}'
    location: location
    tags: tags
    properties: {
      subnet: { id: network::endpointSubnet.id }
      privateLinkServiceConnections: [
        {
          name: endpoint.name
          properties: { privateLinkServiceId: endpoint.serviceId, groupIds: [endpoint.group] }
        }
      ]
    }
  }
]

resource records 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2024-05-01' = [
  for (endpoint, i) in endpoints: {
    parent: privateEndpoints[i]
    name: 'default'
    properties: {
      privateDnsZoneConfigs: [
        { name: endpoint.group, properties: { privateDnsZoneId: zones[endpoint.zone].id } }
      ]
    }
  }
]

output appSubnetId string = network::appSubnet.id
